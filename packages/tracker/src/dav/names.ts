/**
 * Paths of the share and keys. A path is `/dav/<domain>/<name>/…`, a key is its names joined by
 * slashes, and a folder is what keys begin with. Names that no path can hold have others in the
 * share, so that every key has exactly one path and every path one key. Pure; all byte strings.
 */

/** What a path stands for; it need not exist. */
export type Place =
  | { kind: 'above'; path: '/' | '/dav' }
  | {
      kind: 'inside';
      domain: string;
      /** Of the file; empty where none can be. */
      key: string;
      /** What keys in the folder begin with; undefined where no folder can be. */
      prefix: string | undefined;
    };

/** Name, inside a folder, of the file whose key is the folder's own. */
export const twinName = '(file)';

const renamed: ReadonlyMap<string, string> = new Map([
  ['', '(empty)'],
  ['.', '(dot)'],
  ['..', '(dotdot)'],
]);
const segments: ReadonlyMap<string, string> = new Map([...renamed].map(([one, two]) => [two, one]));
/** Names that look like one of these get one more pair of parentheses. */
const shaped = /^\(+(?:empty|dot|dotdot|file)\)+$/;

/** @returns undefined for what is not in the share. */
export function placeOf(path: string): Place | undefined {
  if (path === '/' || path === '/dav') return { kind: 'above', path };
  const [, top, domain, ...names] = path.split('/');
  if (top !== 'dav' || domain === undefined) return undefined;
  const isTwin = names.length > 1 && names.at(-1) === twinName;
  const own = isTwin ? names.slice(0, -1) : names;
  if (own.includes(twinName)) return undefined;
  const key = own.map(segmentOf).join('/');
  if (isTwin) return { kind: 'inside', domain, key, prefix: undefined };
  return { kind: 'inside', domain, key, prefix: own.length === 0 ? '' : `${key}/` };
}

/** The name, in its folder, of a part of a key. */
export function nameOf(segment: string): string {
  return renamed.get(segment) ?? (shaped.test(segment) ? `(${segment})` : segment);
}

function segmentOf(name: string): string {
  return segments.get(name) ?? (shaped.test(name) ? name.slice(1, -1) : name);
}

/** Whether a name can be in a path at all. */
export function isNameable(name: string): boolean {
  return name !== '' && name !== '.' && name !== '..' && !/[/\0]/.test(name);
}
