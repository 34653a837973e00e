/** `omgfs cat`, `paths`, `url` and `du`: reading without keeping. */
import type { Client } from '@omgfs/client';
import { OmgfsError, toOmgfsError } from '@omgfs/protocol';
import { about, createProgress, formatBytes, printJson, printLine, shownKey } from '../output.ts';
import { toOutput } from '../standard-output.ts';
import { inParallel } from '../tree.ts';

const lookupsAtOnce = 16;

/** Files one after the other on standard output. */
export async function catCommand(
  client: Client,
  keys: readonly string[],
  { signal }: { signal: AbortSignal },
): Promise<void> {
  for (const key of keys) {
    const download = await about('cannot fetch', key, client.get(key, { signal }));
    await about('cannot fetch', key, download.each(toOutput));
  }
}

export interface PathsFlags {
  count: number;
  verify?: boolean;
}

/** URLs of the replicas, best first. */
export async function pathsCommand(
  client: Client,
  key: string,
  { json, count, verify }: PathsFlags & { json: boolean },
): Promise<void> {
  const found = client.paths(key, { count, verify: verify ?? false });
  const paths = await about('cannot look up', key, found);
  if (json) printJson({ key, paths });
  else for (const path of paths) printLine(path);
}

/** The one URL to fetch a file from. @throws NO_REPLICA_UP. */
export async function urlCommand(
  client: Client,
  key: string,
  { json }: { json: boolean },
): Promise<void> {
  const [url] = await about('cannot look up', key, client.paths(key, { count: 1, verify: true }));
  if (url === undefined) {
    throw new OmgfsError('NO_REPLICA_UP', { message: `no replica of '${key}' can be read now` });
  }
  if (json) printJson({ key, url });
  else printLine(url);
}

interface Sum {
  files: number;
  bytes: number;
  copies: number;
}

/** What the keys below a prefix hold, by their first parts down to `depth`, and in all. */
export async function duCommand(
  client: Client,
  prefix: string,
  { json, depth, signal }: { json: boolean; depth: number; signal: AbortSignal },
): Promise<void> {
  const sums = new Map<string, Sum>();
  const all: Sum = { files: 0, bytes: 0, copies: 0 };
  const progress = createProgress({ label: 'counting', unit: 'items', total: undefined, json });
  try {
    for await (const keys of pages(client.list({ prefix, signal }))) {
      await inParallel(keys, { concurrency: lookupsAtOnce }, async (key) => {
        signal.throwIfAborted();
        const info = await client.info(key, { signal }).catch(unlessGone);
        if (info === undefined) return;
        progress.add({ items: 1 });
        const folder = folderOf(key, { prefix, depth });
        const sum = sums.get(folder) ?? { files: 0, bytes: 0, copies: 0 };
        sums.set(folder, sum);
        for (const one of [sum, all]) {
          one.files += 1;
          one.bytes += info.length;
          one.copies += info.length * info.devcount;
        }
      });
    }
  } finally {
    progress.stop();
  }
  const folders = depth === 0 ? [] : [...sums].sort(([a], [b]) => (a < b ? -1 : 1));
  for (const [folder, sum] of [...folders, [prefix, all] as const]) {
    if (json) printJson({ prefix: folder, ...sum });
    else printLine(describe(folder, sum));
  }
}

function describe(folder: string, { files, bytes, copies }: Sum): string {
  const onDisks = `${formatBytes(copies)} on disks`;
  const size = formatBytes(bytes).padStart(10);
  return `${size}  ${onDisks.padEnd(20)}  ${files} files  ${shownKey(folder) || 'in all'}`;
}

/** The first parts of a key behind the prefix; the prefix itself for what lies directly there. */
function folderOf(key: string, { prefix, depth }: { prefix: string; depth: number }): string {
  const parts = key.slice(prefix.length).split('/').slice(0, -1).slice(0, depth);
  return prefix + parts.map((part) => `${part}/`).join('');
}

function unlessGone(error: unknown): undefined {
  if (toOmgfsError(error).code === 'UNKNOWN_KEY') return undefined;
  throw error;
}

const pageKeys = 1000;

async function* pages(keys: AsyncIterable<string>): AsyncGenerator<string[]> {
  let page: string[] = [];
  for await (const key of keys) {
    page.push(key);
    if (page.length < pageKeys) continue;
    yield page;
    page = [];
  }
  if (page.length > 0) yield page;
}
