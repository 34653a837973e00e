/** `omgfs ls`, `info`, `rm` and `mv`. */
import type { Client, FileInfo } from '@omgfs/client';
import { OmgfsError, toOmgfsError } from '@omgfs/protocol';
import {
  about,
  formatBytes,
  printable,
  printError,
  printJson,
  printLine,
  shownKey,
  someFailed,
} from '../output.ts';

interface Output {
  json: boolean;
}

/** Keys below a prefix, one a line; with `long` their length, copies and class. */
export async function listCommand(
  client: Client,
  prefix: string,
  options: Output & { long?: boolean; limit?: number },
): Promise<void> {
  const { json, long, limit } = options;
  for await (const key of client.list({ prefix, ...(limit === undefined ? {} : { limit }) })) {
    if (!long) {
      if (json) printJson({ key });
      else printLine(shownKey(key));
      continue;
    }
    const info = await infoIfThere(client, key);
    // Removed since it was listed.
    if (info === undefined) continue;
    if (json) printJson(info);
    else {
      const size = formatBytes(info.length).padStart(10);
      const copies = `${info.devcount} ${info.devcount === 1 ? 'copy  ' : 'copies'}`;
      printLine(`${size}  ${copies}  ${info.class.padEnd(12)}  ${shownKey(key)}`);
    }
  }
}

async function infoIfThere(client: Client, key: string): Promise<FileInfo | undefined> {
  try {
    return await client.info(key);
  } catch (error) {
    if (toOmgfsError(error).code === 'UNKNOWN_KEY') return undefined;
    throw error;
  }
}

export async function infoCommand(client: Client, key: string, options: Output): Promise<void> {
  const info = await about('cannot look up', key, client.info(key));
  const paths = await about('cannot look up', key, client.paths(key, { count: 16 }));
  if (options.json) return printJson({ ...info, paths });
  printLine(`key       ${shownKey(info.key)}`);
  printLine(`fid       ${info.fid}`);
  printLine(`class     ${info.class}`);
  printLine(`length    ${info.length} (${formatBytes(info.length)})`);
  printLine(`copies    ${info.devcount} on devices ${info.devids.join(', ')}`);
  if (info.checksum !== undefined) printLine(`checksum  ${info.checksum}`);
  for (const path of paths) printLine(`path      ${path}`);
}

/** Removes keys; one that is not there is a failure unless `force`. */
export async function removeCommand(
  client: Client,
  keys: readonly string[],
  options: Output & { force?: boolean },
): Promise<void> {
  let failed = 0;
  for (const key of keys) {
    try {
      const removed = await about('cannot remove', key, remove(client, key, options));
      if (options.json) printJson({ key, removed });
    } catch (error) {
      if (keys.length === 1) throw error;
      failed += 1;
      printError(error, options);
    }
  }
  if (failed > 0) throw someFailed(failed, keys.length);
}

async function remove(client: Client, key: string, options: { force?: boolean }): Promise<boolean> {
  const removed = await client.delete(key);
  if (!removed && !options.force) throw new OmgfsError('UNKNOWN_KEY');
  return removed;
}

export async function renameCommand(
  client: Client,
  from: string,
  to: string,
  options: Output,
): Promise<void> {
  await about(`cannot give the key '${printable(to)}' to`, from, client.rename(from, to));
  if (options.json) printJson({ from, to });
}
