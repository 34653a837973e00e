/**
 * What is in a folder, from pages of the keys below its prefix: a page is in memory at a time,
 * however large the folder, and the contents of its folders are not read.
 */
import type { DavEntry, FileFacts as DavFacts } from '@omgfs/webdav';
import type { FileFacts } from '../files/file-facts.ts';
import type { FileStore } from '../files/file-store.ts';
import { isNameable, nameOf } from './names.ts';

/** Of what was stored where nobody noted when: some clients take a resource without for none. */
const unknownDate = new Date(0);

export const folderFacts: DavFacts = { kind: 'collection', bytes: 0, modified: unknownDate };

export function factsOf(file: FileFacts): DavFacts {
  const { length, etag, storedAt, contentType, metadata = {} } = file;
  const dates = { modified: dateOf(metadata.mtime) ?? storedAt ?? unknownDate, created: storedAt };
  return { kind: 'file', bytes: length, etag, contentType, ...dates };
}

/** A time in seconds as the uploader gave it; undefined when it is none. */
function dateOf(seconds: string | undefined): Date | undefined {
  if (seconds === undefined || !/^\d{1,11}(?:\.\d+)?$/.test(seconds)) return undefined;
  return new Date(Number(seconds) * 1000);
}

/** A file without bytes whose key is the prefix of a folder keeps the folder when it is empty. */
export function isMarker({ key, length }: FileFacts, prefix: string): boolean {
  return length === 0 && key === prefix && prefix !== '';
}

type Item = { key: string; file: FileFacts | undefined };

/**
 * Of a file and a folder with one name only the folder is shown. The key of the folder comes behind
 * that of the file, with keys in between that go on with less than a slash (`a`, `a-b`, `a/c`); so
 * files wait until none can follow that is their folder. They are prefixes of each other, which
 * bounds their number by the length of a key.
 */
export async function* listFolder(
  files: Pick<FileStore, 'list'>,
  { domain, prefix }: { domain: string; prefix: string },
): AsyncGenerator<DavEntry> {
  const waiting: FileFacts[] = [];
  for await (const { key, file } of itemsIn(files, { domain, prefix })) {
    for (let last = waiting.at(-1); last !== undefined; last = waiting.at(-1)) {
      const next = key.startsWith(last.key) ? key.slice(last.key.length, last.key.length + 1) : '~';
      if (next < '/') break;
      waiting.pop();
      if (key !== `${last.key}/`) yield* entriesOf(last.key, prefix, factsOf(last));
    }
    if (file === undefined) yield* entriesOf(key.slice(0, -1), prefix, folderFacts);
    else if (!isMarker(file, prefix)) waiting.push(file);
  }
  for (const file of waiting) yield* entriesOf(file.key, prefix, factsOf(file));
}

function entriesOf(key: string, prefix: string, facts: DavFacts): DavEntry[] {
  const name = nameOf(key.slice(prefix.length));
  return isNameable(name) ? [{ name, facts }] : [];
}

/** Files and folders in the order of their keys. */
async function* itemsIn(
  files: Pick<FileStore, 'list'>,
  { domain, prefix }: { domain: string; prefix: string },
): AsyncGenerator<Item> {
  for (let after: string | undefined = ''; after !== undefined; ) {
    const page = await files.list(domain, { prefix, delimiter: '/', after });
    const items: Item[] = [
      ...page.files.map((file) => ({ key: file.key, file })),
      ...page.folders.map((key) => ({ key, file: undefined })),
    ];
    // Keys of a page come in two lists.
    yield* items.sort((one, two) => (one.key < two.key ? -1 : 1));
    after = page.after;
  }
}
