/** `omgfs get`: fetches a file to disk or to standard output. */
import { randomUUID } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Client, Download } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import { about, createProgress, formatBytes, printJson, printLine, shownKey } from '../output.ts';
import { toOutput } from '../standard-output.ts';

interface GetOptions {
  json: boolean;
  signal: AbortSignal;
}

/**
 * `target` is a file, a directory, or `-` for standard output. A file appears whole or not at all.
 */
export async function getCommand(
  client: Client,
  key: string,
  target: string | undefined,
  options: GetOptions,
): Promise<void> {
  const { json, signal } = options;
  const download = await about('cannot fetch', key, client.get(key, { signal }));
  if (target === '-') {
    return about('cannot fetch', key, download.each(toOutput));
  }
  const path = await pathFor(key, target);
  await about(`cannot write ${path} from`, key, saveTo(path, { key, download, ...options }));
  if (json) printJson({ key, file: path, bytes: download.length });
  else printLine(`${shownKey(path)}  ${formatBytes(download.length)}`);
}

async function pathFor(key: string, target: string | undefined): Promise<string> {
  const name = basename(key) || 'file';
  if (target === undefined) return name;
  const stats = await stat(target).catch(() => undefined);
  return stats?.isDirectory() ? join(target, name) : target;
}

export async function saveTo(
  path: string,
  { key, download, json, signal }: GetOptions & { key: string; download: Download },
): Promise<void> {
  // Of its own: with the name in it, one of 250 bytes would be too long.
  const part = join(dirname(path), `.${randomUUID()}.part`);
  const progress = createProgress({ label: key, unit: 'bytes', total: download.length, json });
  try {
    await writeTo(part, download, (bytes) => progress.add({ bytes }));
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw signal.aborted || error instanceof OmgfsError ? error : unwritable(error);
  } finally {
    progress.stop();
  }
}

async function writeTo(
  path: string,
  download: Download,
  onBytes: (bytes: number) => void,
): Promise<void> {
  const file = await open(path, 'w').catch((error: unknown) => {
    // Nobody reads what cannot be written.
    download.stream.destroy();
    throw error;
  });
  try {
    await download.each(async (piece) => {
      await file.writeFile(piece);
      onBytes(piece.length);
    });
  } finally {
    await file.close();
  }
}

/** What the file system said. The bytes come with errors of their own. */
function unwritable(cause: unknown): OmgfsError {
  const reason = cause instanceof Error ? cause.message : cause;
  const advice = 'check that its directory exists, may be written, and has room';
  return new OmgfsError('FAILURE', { message: `${reason}; ${advice}`, cause });
}
