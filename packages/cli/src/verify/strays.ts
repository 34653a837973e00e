/** Files in device directories that the database does not know there. */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Admin } from '@omgfs/client';
import { parseFidPath } from '@omgfs/protocol';
import { inParallel } from '../tree.ts';
import { finding } from './findings.ts';
import type { VerifyOptions } from './verify.ts';

/** Looks through `devN` directories below a docroot of this machine. */
export async function findStrays(
  admin: Admin,
  docroot: string,
  options: VerifyOptions,
): Promise<void> {
  const names = (await readdir(docroot)).filter((name) => /^dev\d+$/.test(name));
  for (const name of names) {
    for await (const page of pagesOf(join(docroot, name))) {
      await inParallel(page, { concurrency: options.concurrency }, async (path) => {
        options.signal.throwIfAborted();
        await lookUp(admin, `/${name}/${path}`, options);
      });
    }
  }
}

async function lookUp(admin: Admin, path: string, options: VerifyOptions): Promise<void> {
  const place = parseFidPath(path);
  if (place === undefined) return;
  const { devid, fid } = place;
  const debug = await admin.call('file_debug', { fid });
  options.onProgress(1);
  const devices = [debug.devids, debug.tempfile_devids].join(',').split(',');
  // Waiting to be deleted, or being uploaded, it is where it should be.
  if (debug.delqueue_fid !== undefined || devices.includes(String(devid))) return;
  const detail = `${path} is on the disk and not in the database`;
  options.onFinding(finding('stray', detail, { fid, devid }));
}

/** Files below a device, a leaf directory at a time. */
async function* pagesOf(root: string, below = ''): AsyncGenerator<string[]> {
  const files: string[] = [];
  for (const entry of await readdir(join(root, below), { withFileTypes: true })) {
    if (entry.name.startsWith('.')) continue;
    const path = below === '' ? entry.name : `${below}/${entry.name}`;
    if (entry.isDirectory()) yield* pagesOf(root, path);
    else if (entry.name.endsWith('.fid')) files.push(path);
  }
  if (files.length > 0) yield files;
}
