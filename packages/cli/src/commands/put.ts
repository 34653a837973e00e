/** `omgfs put`: stores a file, a directory tree or standard input. */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Client, PutOptions, UploadSource } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import {
  createProgress,
  formatBytes,
  printError,
  printJson,
  printLine,
  someFailed,
} from '../output.ts';
import { inParallel, walkTree } from '../tree.ts';

export interface PutCommandOptions {
  json: boolean;
  class?: string;
  recursive?: boolean;
  jobs: number;
}

/** `source` is a path, or `-` for standard input, which needs a key. */
export async function putCommand(
  client: Client,
  source: string,
  key: string | undefined,
  options: PutCommandOptions,
): Promise<void> {
  if (source === '-') {
    if (key === undefined) {
      throw new OmgfsError('NO_KEY', { message: 'standard input needs a key: omgfs put - KEY' });
    }
    return putOne(client, { key, source: process.stdin, bytes: 0 }, options);
  }
  const stats = await stat(source).catch((cause: unknown) => {
    throw new OmgfsError('BAD_ARGS', { message: `cannot read ${source}`, cause });
  });
  if (!stats.isDirectory()) {
    const file = { file: source };
    return putOne(
      client,
      { key: key ?? basename(source), source: file, bytes: stats.size },
      options,
    );
  }
  if (!options.recursive) {
    const message = `${source} is a directory; store all files below it with --recursive`;
    throw new OmgfsError('BAD_ARGS', { message });
  }
  return putTree(client, source, key ?? '', options);
}

async function putOne(
  client: Client,
  upload: { key: string; source: UploadSource; bytes: number },
  options: PutCommandOptions,
): Promise<void> {
  const { key, source, bytes: total } = upload;
  const progress = createProgress({ label: key, unit: 'bytes', total, json: options.json });
  let seen = 0;
  try {
    const stored = await client.put(key, source, {
      ...classOf(options),
      onProgress: (bytes) => {
        progress.add({ bytes: bytes - seen });
        seen = bytes;
      },
    });
    progress.stop();
    if (options.json) printJson({ key, fid: stored.fid, bytes: stored.bytes });
    else printLine(`${key}  ${formatBytes(stored.bytes)}  fid ${stored.fid}`);
  } finally {
    progress.stop();
  }
}

async function putTree(
  client: Client,
  root: string,
  prefix: string,
  options: PutCommandOptions,
): Promise<void> {
  const files = await walkTree(root);
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const progress = createProgress({ label: root, unit: 'bytes', total, json: options.json });
  let failed = 0;
  await inParallel(files, { concurrency: options.jobs }, async ({ path, name, bytes }) => {
    const key = prefix + name;
    try {
      const stored = await client.put(key, { file: path }, classOf(options));
      if (options.json) printJson({ key, fid: stored.fid, bytes: stored.bytes });
    } catch (error) {
      failed += 1;
      printError(error, options);
    }
    progress.add({ bytes });
  });
  progress.stop();
  if (failed > 0) throw someFailed(failed, files.length);
  if (!options.json) printLine(`${files.length} files, ${formatBytes(total)}`);
}

function classOf(options: PutCommandOptions): PutOptions {
  return options.class === undefined ? {} : { class: options.class };
}
