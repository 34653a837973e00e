/** Which domains go where. */
import type { Admin, ClassInfo } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';

export interface DomainPair {
  from: string;
  to: string;
  /** Of the domain at the source. */
  classes: ClassInfo[];
}

/**
 * @param wanted `a`, or `a=b` for another name at the target; all of the source when empty.
 * @throws UNREG_DOMAIN for one that the source does not have.
 */
export async function pairsOf(source: Admin, wanted: readonly string[]): Promise<DomainPair[]> {
  const domains = await source.domains();
  const pairs = wanted.length > 0 ? wanted : domains.map(({ name }) => name);
  return pairs.map((text) => {
    // A domain may have the sign in its name.
    const whole = domains.find(({ name }) => name === text);
    const equals = whole === undefined ? text.indexOf('=') : -1;
    const from = equals < 0 ? text : text.slice(0, equals);
    const found = whole ?? domains.find(({ name }) => name === from);
    if (found === undefined) {
      const message = `there is no domain '${from}' at the source`;
      throw new OmgfsError('UNREG_DOMAIN', { message });
    }
    return { from, to: equals < 0 ? from : text.slice(equals + 1), classes: found.classes };
  });
}

/** @throws BAD_ARGS when files would be copied onto themselves. */
export function checkNotSame(
  pairs: readonly DomainPair[],
  { from, to }: { from: readonly string[]; to: readonly string[] },
): void {
  const shared = from.find((tracker) => to.includes(tracker));
  const same = pairs.find((pair) => pair.from === pair.to);
  if (shared === undefined || same === undefined) return;
  const message = `${same.from} at ${shared} is source and target; name it otherwise, with a=b`;
  throw new OmgfsError('BAD_ARGS', { message });
}
