/**
 * `omgfs import` from a directory. The whole manifest is checked before anything is stored; a file
 * is read only where the manifest may point to, and never through a symbolic link.
 */
import { mkdtemp, realpath, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Checksum, OmgfsError } from '@omgfs/protocol';
import { notAFile, openRegular } from '../../regular-file.ts';
import { eachParallel } from '../parallel.ts';
import { type ImportOptions, type ImportPlace, ImportRun } from './import-run.ts';
import { type Entry, type ManifestHead, manifestName } from './manifest.ts';
import { type ReadManifest, readManifest } from './manifest-file.ts';

/** @throws BAD_ARGS for what is no export or a bad one; FAILURE when some files failed. */
export async function importDirectory(
  place: ImportPlace,
  dir: string,
  options: ImportOptions,
): Promise<void> {
  const work = await mkdtemp(join(tmpdir(), 'omgfs-import-'));
  try {
    const manifest = await readManifest(join(dir, manifestName), { work });
    const head = checkFinished(manifest, { name: dir, partial: options.partial ?? false });
    const root = await realpath(dir);
    const run = new ImportRun(place, { ...options, total: manifest.entries.count });
    try {
      await run.prepare(head);
      const { entries } = manifest;
      await eachParallel(entries, { concurrency: options.jobs }, async ({ value }) => {
        const entry: Entry & { checksum: Checksum } = JSON.parse(value);
        await run.one(entry, { open: () => openFile(root, entry.file) });
      });
    } finally {
      run.report.stop();
    }
    run.report.end(options.dryRun ? 'to import' : 'imported', '; run it again to go on');
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

/** @throws BAD_ARGS unless there is a whole export. */
export function checkFinished(
  { head, end }: Pick<ReadManifest, 'head' | 'end'>,
  { name, partial }: { name: string; partial: boolean },
): ManifestHead {
  if (head === undefined) {
    const message = `${name} has no ${manifestName}, so it is no export; 'put -r' stores any tree`;
    throw new OmgfsError('BAD_ARGS', { message });
  }
  if (end !== undefined || partial) return head;
  const message =
    `the export in ${name} was not finished: run that again, or import what is there ` +
    'with --partial';
  throw new OmgfsError('BAD_ARGS', { message });
}

/** @throws BAD_ARGS for a symbolic link on the way or what is no file. */
async function openFile(root: string, name: string): Promise<AsyncIterable<Buffer>> {
  const path = join(root, name);
  if ((await realpath(path)) !== path) throw notAFile(name);
  return (await openRegular(path, { name })).createReadStream();
}
