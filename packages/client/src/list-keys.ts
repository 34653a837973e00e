/** Keys of a domain page by page, as byte strings, whole or folded at a delimiter. */
import { type Fields, RecentMap, toOmgfsError } from '@omgfs/protocol';

export interface KeyRange {
  prefix: string;
  after: string;
  limit: number;
  /** Keys that have it behind the prefix are folded to what stands before it, and it. */
  delimiter: string;
}

const pageKeysMax = 1000;
/** Under a collation that ignores case, the keys of two folders may be mixed. */
const foldersRemembered = 1000;

/** @param ask sends `list_keys` with these arguments. */
export async function* listKeys(
  ask: (args: object) => Promise<Fields>,
  range: KeyRange,
): AsyncGenerator<string> {
  const { prefix, delimiter, limit } = range;
  const folders = new RecentMap<string, true>(foldersRemembered);
  let left = limit;
  if (left <= 0) return;
  for await (const key of keysOf(ask, range)) {
    const at = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length);
    const entry = at < 0 ? key : key.slice(0, at + delimiter.length);
    if (at >= 0) {
      if (folders.get(entry)) continue;
      folders.set(entry, true);
    }
    yield entry;
    left -= 1;
    if (left <= 0) return;
  }
}

async function* keysOf(
  ask: (args: object) => Promise<Fields>,
  { prefix, after: start, limit: wanted, delimiter }: KeyRange,
): AsyncGenerator<string> {
  // Folded, many keys may make one entry.
  const limit = delimiter === '' ? Math.min(wanted, pageKeysMax) : pageKeysMax;
  for (let after = start; ; ) {
    const fields = await ask({ prefix, after, limit }).catch((error: unknown) => {
      // The protocol's way to say that the list has ended.
      if (toOmgfsError(error).code === 'NONE_MATCH') return undefined;
      throw error;
    });
    const count = Number(fields?.key_count ?? 0);
    if (fields === undefined || count === 0) return;
    for (let number = 1; number <= count; number += 1) yield fields[`key_${number}`] ?? '';
    // Not `next_after`: under a collation that ignores case it may lie before this one.
    after = fields[`key_${count}`] ?? '';
    if (count < limit) return;
  }
}
