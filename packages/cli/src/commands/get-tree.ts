/** `omgfs get -r`: all files below a prefix as a directory tree. */
import { mkdir } from 'node:fs/promises';
import { dirname, join, sep } from 'node:path';
import type { Client } from '@omgfs/client';
import { OmgfsError, toOmgfsError } from '@omgfs/protocol';
import {
  about,
  createProgress,
  printable,
  printError,
  printJson,
  printLine,
  someFailed,
} from '../output.ts';
import { inParallel } from '../tree.ts';
import { saveTo } from './get.ts';

export interface GetTreeOptions {
  json: boolean;
  jobs: number;
  signal: AbortSignal;
}

/**
 * Each file appears whole or not at all; a failure of one does not stop the others.
 * @throws FAILURE when some failed, UNKNOWN_KEY when there is none.
 */
export async function getTreeCommand(
  client: Client,
  prefix: string,
  target: string,
  options: GetTreeOptions,
): Promise<void> {
  const { json, jobs, signal } = options;
  const progress = createProgress({ label: 'fetching', unit: 'items', total: undefined, json });
  let found = 0;
  let files = 0;
  let failed = 0;
  const fetchOne = async (key: string) => {
    signal.throwIfAborted();
    try {
      const name = key.slice(prefix.length);
      if (/^$|\/$/.test(name) && (await client.info(key, { signal })).length === 0) {
        // What keeps an empty folder of a WebDAV share.
        await mkdir(name === '' ? target : pathBelow(target, name.slice(0, -1)), {
          recursive: true,
        });
        return;
      }
      const path = pathBelow(target, name);
      if (name.startsWith('/')) await checkAlone(client, prefix + name.slice(1), { key, signal });
      await mkdir(dirname(path), { recursive: true });
      const download = await about('cannot fetch', key, client.get(key, { signal }));
      const quiet = { key, download, json: true, signal };
      await about(`cannot write ${path} from`, key, saveTo(path, quiet));
      files += 1;
      progress.add({ items: 1 });
      if (json) printJson({ key, file: path, bytes: download.length });
    } catch (error) {
      signal.throwIfAborted();
      failed += 1;
      printError(error, { json });
    }
  };
  try {
    let page: string[] = [];
    for await (const key of client.list({ prefix, signal })) {
      found += 1;
      page.push(key);
      if (page.length < jobs * 16) continue;
      await inParallel(page, { concurrency: jobs }, fetchOne);
      page = [];
    }
    await inParallel(page, { concurrency: jobs }, fetchOne);
  } finally {
    progress.stop();
  }
  if (failed > 0) throw someFailed(failed, files + failed);
  if (found === 0 && prefix !== '') {
    throw new OmgfsError('UNKNOWN_KEY', { message: `no key begins with '${printable(prefix)}'` });
  }
  if (!json) printLine(`${files} files in ${target}`);
}

/**
 * A key is chosen by whoever uploads: it must not lead out of the directory, nor become the file of
 * another key. One slash before it does no harm, and has many a key.
 * @throws BAD_ARGS.
 */
function pathBelow(target: string, name: string): string {
  const parts = name.replace(/^\//, '').split('/');
  const isPlain = parts.every((part) => !['', '.', '..'].includes(part)) && !name.includes('\0');
  if (isPlain && (sep === '/' || !name.includes(sep))) return join(target, ...parts);
  const advice = "fetch it by itself with 'omgfs get KEY FILE'";
  const message = `'${printable(name)}' cannot be a file below ${target}; ${advice}`;
  throw new OmgfsError('BAD_ARGS', { message });
}

/** @throws BAD_ARGS when there is a key that would become the same file. */
async function checkAlone(
  client: Client,
  twin: string,
  { key, signal }: { key: string; signal: AbortSignal },
): Promise<void> {
  const found = await client.paths(twin, { count: 1, signal }).catch((error: unknown) => {
    if (toOmgfsError(error).code === 'UNKNOWN_KEY') return undefined;
    throw error;
  });
  if (found === undefined) return;
  const both = `'${printable(key)}' and '${printable(twin)}' would both become one file`;
  const advice = "fetch one by itself with 'omgfs get KEY FILE'";
  throw new OmgfsError('BAD_ARGS', { message: `${both}; ${advice}` });
}
