/** `omgfs ls`, `info`, `rm` and `mv`. */
import type { Client } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import { formatBytes, printError, printJson, printLine, someFailed } from '../output.ts';

interface Output {
  json: boolean;
}

/** Keys below a prefix, one a line; with `long` their length, copies and class. */
export async function listCommand(
  client: Client,
  prefix: string,
  options: Output & { long?: boolean; limit?: number },
): Promise<void> {
  const limit = options.limit === undefined ? {} : { limit: options.limit };
  for await (const key of client.list({ prefix, ...limit })) {
    if (!options.long) {
      if (options.json) printJson({ key });
      else printLine(key);
      continue;
    }
    const info = await client.info(key).catch((error: unknown) => {
      // Removed since it was listed.
      if (error instanceof OmgfsError && error.code === 'UNKNOWN_KEY') return undefined;
      throw error;
    });
    if (info === undefined) continue;
    if (options.json) printJson(info);
    else {
      const size = formatBytes(info.length).padStart(10);
      printLine(`${size}  ${info.devcount} copies  ${info.class.padEnd(12)}  ${key}`);
    }
  }
}

export async function infoCommand(client: Client, key: string, options: Output): Promise<void> {
  const info = await client.info(key);
  const paths = await client.paths(key, { count: 16 });
  if (options.json) return printJson({ ...info, paths });
  printLine(`key       ${info.key}`);
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
      const removed = await client.delete(key);
      if (!removed && !options.force) {
        throw new OmgfsError('UNKNOWN_KEY', { message: `no file is stored under '${key}'` });
      }
      if (options.json) printJson({ key, removed });
    } catch (error) {
      failed += 1;
      printError(error, options);
    }
  }
  if (failed > 0) throw someFailed(failed, keys.length);
}

export async function renameCommand(
  client: Client,
  from: string,
  to: string,
  options: Output,
): Promise<void> {
  await client.rename(from, to);
  if (options.json) printJson({ from, to });
}
