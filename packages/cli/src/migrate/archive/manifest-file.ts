/** The manifest of an export as a file: read back in byte order of keys, and finished. */
import { createWriteStream } from 'node:fs';
import { rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { OmgfsError } from '@omgfs/protocol';
import { mapParallel } from '../parallel.ts';
import { readLines } from '../rows/line-log.ts';
import { type Row, SortedRows } from '../rows/sorted-rows.ts';
import {
  type Entry,
  endLine,
  entryLine,
  headLine,
  type ManifestEnd,
  type ManifestHead,
  manifestName,
  parseManifestLine,
} from './manifest.ts';

export interface ReadManifest {
  /** Undefined when there is no manifest. */
  head: ManifestHead | undefined;
  /** What the last line says, if that is the end. */
  end: ManifestEnd | undefined;
  /** The last entry of each key, as JSON of an Entry. */
  entries: SortedRows;
}

/** Checks every line. @throws BAD_ARGS with the number of a line that is none. */
export async function readManifest(
  path: string,
  { work, name = 'manifest' }: { work: string; name?: string },
): Promise<ReadManifest> {
  return collectManifest(readLines(path), { path, work, name });
}

export async function collectManifest(
  lines: AsyncIterable<string>,
  { path, work, name }: { path: string; work: string; name: string },
): Promise<ReadManifest> {
  let head: ManifestHead | undefined;
  let end: ManifestEnd | undefined;
  async function* rows(): AsyncGenerator<Row> {
    let number = 0;
    for await (const line of lines) {
      number += 1;
      const where = `${path}, line ${number}`;
      const parsed = parseManifestLine(line, where);
      end = parsed.kind === 'end' ? parsed.end : undefined;
      if (parsed.kind === 'head') head = parsed.head;
      if (head === undefined) {
        throw new OmgfsError('BAD_ARGS', { message: `${where}: this is no manifest of an export` });
      }
      if (parsed.kind !== 'entry') continue;
      yield { key: parsed.entry.key, value: JSON.stringify(parsed.entry) };
    }
  }
  const entries = await SortedRows.from(rows(), { dir: work, name });
  return { head, end, entries };
}

/**
 * Writes the manifest anew: in order, one line a key, with its end. Entries whose file is not there
 * are of keys that were deleted while an earlier run was killed.
 */
export async function finishManifest(dir: string, { work }: { work: string }): Promise<void> {
  const path = join(dir, manifestName);
  const { head, entries } = await readManifest(path, { work, name: 'finish' });
  if (head === undefined) return;
  const end: ManifestEnd = { files: 0, bytes: 0 };
  async function* lines(known: ManifestHead): AsyncGenerator<string> {
    yield `${headLine(known)}\n`;
    const found = mapParallel(entries, { concurrency: 16 }, async ({ value }) => {
      const entry: Entry = JSON.parse(value);
      const stats = await stat(join(dir, entry.file)).catch(() => undefined);
      return stats?.size === entry.length ? entry : undefined;
    });
    for await (const entry of found) {
      if (entry === undefined) continue;
      end.files += 1;
      end.bytes += entry.length;
      yield `${entryLine(entry)}\n`;
    }
    yield `${endLine(end)}\n`;
  }
  await pipeline(Readable.from(lines(head)), createWriteStream(`${path}.new`, { flush: true }));
  await rename(`${path}.new`, path);
}
