/** Adds to refusals what the caller named, and what to do about it. */
import { OmgfsError } from '@omgfs/protocol';

/** The same error, or a clearer one of the same code. */
export function explained(
  error: unknown,
  { domain, className }: { domain: string; className?: string | undefined },
): unknown {
  if (!(error instanceof OmgfsError)) return error;
  const { code, details } = error;
  if (code === 'UNREG_DOMAIN') {
    const advice = `name another, or create it with 'omgfs admin domain add ${domain}'`;
    const message = `the trackers know no domain '${domain}': ${advice}`;
    return new OmgfsError(code, { message, details, cause: error });
  }
  if (code === 'UNREG_CLASS' && className !== undefined) {
    const advice = `'omgfs admin class add ${domain} ${className}'`;
    const what = `the domain '${domain}' has no class '${className}'`;
    const message = `${what}: name another, or create it with ${advice}`;
    return new OmgfsError(code, { message, details, cause: error });
  }
  return error;
}
