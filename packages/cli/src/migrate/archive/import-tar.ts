/**
 * `omgfs import` from a tar archive in a file, ours or one that another tar made of an export in a
 * directory. The headers of the whole archive and its manifest are checked before anything is
 * stored; then files are read at their places, several at once.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, open, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Checksum, OmgfsError, toByteString } from '@omgfs/protocol';
import { eachParallel } from '../parallel.ts';
import { linesOf } from '../rows/lines.ts';
import { joinRows, type Row, SortedRows } from '../rows/sorted-rows.ts';
import { FileBytes } from '../tar/bytes.ts';
import { TarReader } from '../tar/reader.ts';
import { checkFinished } from './import-directory.ts';
import { type ImportOptions, type ImportPlace, ImportRun } from './import-run.ts';
import { type Entry, manifestName } from './manifest.ts';
import { collectManifest } from './manifest-file.ts';

/** Where the bytes of a file are. */
interface Region {
  at: number;
  length: number;
}

/** @throws BAD_ARGS for what is no export or a bad one; FAILURE when some files failed. */
export async function importTar(
  place: ImportPlace,
  path: string,
  options: ImportOptions,
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'omgfs-import-'));
  try {
    const { members, manifest } = await scan(path, { work, signal: options.signal });
    const lines = manifest === undefined ? noLines() : linesOf(readRegion(path, manifest));
    const read = await collectManifest(lines, { path, work, name: 'manifest' });
    const head = checkFinished(read, { name: path, partial: options.partial ?? false });
    const entries = await byName(read.entries, { work });
    const run = new ImportRun(place, { ...options, total: read.entries.count });
    try {
      await run.prepare(head);
      const joined = joinRows(entries, members);
      await eachParallel(joined, { concurrency: options.jobs }, async ({ left, right }) => {
        // What is no file of the export is none of ours.
        if (left === undefined) return;
        const entry: Entry & { checksum: Checksum } = JSON.parse(left);
        const region: Region | undefined = right === undefined ? undefined : JSON.parse(right);
        await run.one(entry, { open: () => readRegion(path, present(region, entry)) });
      });
    } finally {
      run.report.stop();
    }
    run.report.end(options.dryRun ? 'to import' : 'imported', '; run it again to go on');
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** All files of the archive in order of their names; of one name the last one. */
async function scan(
  path: string,
  { work, signal }: { work: string; signal: AbortSignal },
): Promise<{ members: SortedRows; manifest: Region | undefined }> {
  const file = await open(path);
  try {
    const { size } = await file.stat();
    const reader = new TarReader(new FileBytes(file, size), path);
    let manifest: Region | undefined;
    async function* rows(): AsyncGenerator<Row> {
      for (let one = await reader.next(); one !== undefined; one = await reader.next()) {
        signal.throwIfAborted();
        const region: Region = { at: one.bodyAt, length: one.length };
        if (one.name === manifestName) manifest = region;
        else yield { key: one.name, value: JSON.stringify(region) };
      }
    }
    const members = await SortedRows.from(rows(), { dir: work, name: 'members' });
    return { members, manifest };
  } finally {
    await file.close();
  }
}

function byName(entries: SortedRows, { work }: { work: string }): Promise<SortedRows> {
  async function* rows(): AsyncGenerator<Row> {
    for await (const { value } of entries) {
      const entry: Entry = JSON.parse(value);
      yield { key: toByteString(entry.file), value };
    }
  }
  return SortedRows.from(rows(), { dir: work, name: 'entries' });
}

function readRegion(path: string, { at, length }: Region): AsyncIterable<Buffer> {
  return length === 0 ? noBytes() : createReadStream(path, { start: at, end: at + length - 1 });
}

async function* noBytes(): AsyncGenerator<Buffer> {}
async function* noLines(): AsyncGenerator<string> {}

/** @throws FAILURE when the archive has no such file. */
function present(region: Region | undefined, { file }: Entry): Region {
  if (region !== undefined) return region;
  throw new OmgfsError('FAILURE', { message: `${file} is not in the archive` });
}
