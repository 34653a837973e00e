/** `omgfs get`: fetches a file to disk or to standard output. */
import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client, Download } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import { about, createProgress, formatBytes, printJson, printLine, shownKey } from '../output.ts';

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
    return about('cannot fetch', key, pipeline(download.stream, process.stdout, { signal }));
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
  const { stream, length: total } = download;
  const part = `${path}.${process.pid}.part`;
  const progress = createProgress({ label: key, unit: 'bytes', total, json });
  const meter = new Transform({
    transform: (chunk: Buffer, _, done) => {
      progress.add({ bytes: chunk.length });
      done(undefined, chunk);
    },
  });
  try {
    await pipeline(stream, meter, createWriteStream(part), { signal });
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw signal.aborted || error instanceof OmgfsError ? error : unwritable(error);
  } finally {
    progress.stop();
  }
}

/** What the file system said. The bytes come with errors of their own. */
function unwritable(cause: unknown): OmgfsError {
  const reason = cause instanceof Error ? cause.message : cause;
  const advice = 'check that its directory exists, may be written, and has room';
  return new OmgfsError('FAILURE', { message: `${reason}; ${advice}`, cause });
}
