/** `omgfs sync`: makes the keys below a prefix what a directory tree is; uploads what changed. */
import { isUtf8 } from 'node:buffer';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import type { Client, FileInfo } from '@omgfs/client';
import { hashTypes, OmgfsError, parseChecksum, toOmgfsError } from '@omgfs/protocol';
import {
  about,
  createProgress,
  formatBytes,
  printError,
  printJson,
  printLeft,
  printLine,
  shownKey,
  someFailed,
} from '../output.ts';
import { inParallel, type TreeFile, walkTree } from '../tree.ts';

export interface SyncOptions {
  json: boolean;
  class?: string;
  /** Compare contents of files that have the same length. */
  checksum?: boolean;
  /** Remove keys that have no file. */
  delete?: boolean;
  dryRun?: boolean;
  jobs: number;
  signal: AbortSignal;
}

interface Change {
  action: 'put' | 'delete';
  key: string;
  /** What is stored, or the bytes of the key that goes: not every key is text. */
  what: TreeFile | Buffer;
}

/** @throws BAD_ARGS for what is no directory; FAILURE when some changes failed. */
export async function syncCommand(
  client: Client,
  directory: string,
  prefix: string,
  options: SyncOptions,
): Promise<void> {
  const stats = await stat(directory).catch(() => undefined);
  if (stats?.isDirectory() !== true) {
    throw new OmgfsError('BAD_ARGS', { message: `${directory} is no directory` });
  }
  const tree = await walkTree(directory);
  const left = printLeft(tree, options);
  const changes = await findChanges(client, { files: tree.files, prefix, options });
  if (options.dryRun) {
    for (const { action, key } of changes) {
      if (options.json) printJson({ action, key });
      else printLine(`${action.padEnd(6)}  ${shownKey(key)}`);
    }
  }
  const failed = left + (options.dryRun ? 0 : await apply(client, changes, options));
  if (failed > 0) throw someFailed(failed, changes.length + left);
  if (options.dryRun) return;
  if (options.json) return;
  const put = changes.filter(({ action }) => action === 'put').length;
  const removed = changes.length - put;
  printLine(`${put} files stored, ${formatBytes(bytesOf(changes))}; ${removed} removed`);
}

async function findChanges(
  client: Client,
  place: { files: readonly TreeFile[]; prefix: string; options: SyncOptions },
): Promise<Change[]> {
  const { files, prefix, options } = place;
  const { signal, jobs } = options;
  const wanted = new Map(files.map((file) => [prefix + file.name, file] as const));
  const changes: Change[] = [];
  await inParallel([...wanted], { concurrency: jobs }, async ([key, file]) => {
    signal.throwIfAborted();
    if (await isSame(client, { key, file, options })) return;
    changes.push({ action: 'put', key, what: file });
  });
  if (options.delete) {
    for await (const bytes of client.listBytes({ prefix, signal })) {
      const key = bytes.toString();
      if (wanted.has(key) && isUtf8(bytes)) continue;
      changes.push({ action: 'delete', key, what: bytes });
    }
  }
  return changes.sort((a, b) => (a.key < b.key ? -1 : 1));
}

async function isSame(
  client: Client,
  { key, file, options }: { key: string; file: TreeFile; options: SyncOptions },
): Promise<boolean> {
  const { signal } = options;
  let info: FileInfo;
  try {
    info = await client.info(key, { signal });
  } catch (error) {
    if (toOmgfsError(error).code === 'UNKNOWN_KEY') return false;
    throw error;
  }
  if (info.length !== file.bytes) return false;
  return !options.checksum || (await hasSameBytes(client, { info, key, file, signal }));
}

/** By the checksum the class keeps, else by reading both. */
async function hasSameBytes(
  client: Client,
  place: { info: FileInfo; key: string; file: TreeFile; signal: AbortSignal },
): Promise<boolean> {
  const { info, key, file, signal } = place;
  const kept = parseChecksum(info.checksum ?? '');
  const algorithm = kept === undefined ? 'sha256' : hashTypes[kept.type].algorithm;
  const local = createHash(algorithm);
  await pipeline(createReadStream(file.path), local, { signal });
  const hex = local.digest('hex');
  if (kept !== undefined) return hex === kept.hex;
  const remote = createHash(algorithm);
  const download = await client.get(key, { signal });
  await download.each((piece) => remote.update(piece));
  return hex === remote.digest('hex');
}

/** @returns how many failed, each printed already. */
async function apply(
  client: Client,
  changes: readonly Change[],
  options: SyncOptions,
): Promise<number> {
  const { json, jobs, signal } = options;
  const total = bytesOf(changes);
  const progress = createProgress({ label: 'sync', unit: 'bytes', total, json });
  let failed = 0;
  try {
    await inParallel(changes, { concurrency: jobs }, async ({ action, key, what }) => {
      signal.throwIfAborted();
      try {
        if (Buffer.isBuffer(what))
          await about('cannot remove', key, client.delete(what, { signal }));
        else {
          const { class: className } = options;
          const named = className === undefined ? {} : { class: className };
          const request = { ...named, signal, checksum: 'MD5' as const };
          await about('cannot store', key, client.put(key, { file: what.path }, request));
          progress.add({ bytes: what.bytes });
        }
        if (json) printJson({ action, key });
      } catch (error) {
        signal.throwIfAborted();
        failed += 1;
        printError(error, { json });
      }
    });
  } finally {
    progress.stop();
  }
  return failed;
}

/** That are stored. */
function bytesOf(changes: readonly Change[]): number {
  return changes.reduce((sum, { what }) => sum + (Buffer.isBuffer(what) ? 0 : what.bytes), 0);
}
