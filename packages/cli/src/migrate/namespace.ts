/** Domains and classes that files need where they are going. */
import type { Admin, ClassInfo } from '@omgfs/client';
import { OmgfsError, toOmgfsError } from '@omgfs/protocol';

export interface Namespace {
  domain: string;
  classes: readonly ClassInfo[];
}

/**
 * Creates what is missing; what is there stays as it is, because operators may want other numbers
 * of copies there. @returns what was done and what differs, in sentences.
 * @throws INVALID_REPLPOLICY for a policy that the target does not have.
 */
export async function prepareNamespace(
  admin: Admin,
  { domain, classes }: Namespace,
  { dryRun }: { dryRun: boolean },
): Promise<string[]> {
  const notes: string[] = [];
  const before = (await admin.domains()).find(({ name }) => name === domain);
  if (before === undefined) {
    if (!dryRun) await unless('DOMAIN_EXISTS', admin.createDomain(domain));
    notes.push(`domain ${domain} is new`);
  }
  for (const wanted of classes) {
    const found = before?.classes.find(({ name }) => name === wanted.name);
    if (found !== undefined) {
      if (isSame(found, wanted)) continue;
      notes.push(
        `class ${wanted.name} of ${domain} stays ${inWords(found)}, not ${inWords(wanted)}`,
      );
      continue;
    }
    notes.push(`class ${wanted.name} of ${domain} is new: ${inWords(wanted)}`);
    if (!dryRun) await createClass(admin, { domain, wanted });
  }
  return notes;
}

async function createClass(
  admin: Admin,
  { domain, wanted }: { domain: string; wanted: ClassInfo },
): Promise<void> {
  const { hashtype, ...rest } = wanted;
  const request = { domain, ...rest, hashtype: hashtype ?? ('NONE' as const) };
  try {
    // Every domain has this one from the start.
    if (wanted.name === 'default') await admin.updateClass(request);
    else await unless('CLASS_EXISTS', admin.createClass(request));
  } catch (error) {
    const { code, message } = toOmgfsError(error);
    if (code !== 'INVALID_REPLPOLICY') throw error;
    throw new OmgfsError(code, {
      message:
        `class ${wanted.name} of ${domain} has the policy ${wanted.replpolicy}, which the target ` +
        `does not know (${message}); create the class there, then go on`,
      cause: error,
    });
  }
}

function isSame(one: ClassInfo, other: ClassInfo): boolean {
  return inWords(one) === inWords(other);
}

function inWords({ mindevcount, replpolicy, hashtype }: ClassInfo): string {
  const policy = replpolicy || 'MultipleHosts()';
  return `${mindevcount} copies, ${policy}, checksum ${hashtype ?? 'NONE'}`;
}

/** Somebody else may have done it in the same moment. */
async function unless(code: string, work: Promise<void>): Promise<void> {
  await work.catch((error: unknown) => {
    if (toOmgfsError(error).code !== code) throw error;
  });
}
