/** `omgfs get`: fetches a file to disk or to standard output. */
import { createWriteStream } from 'node:fs';
import { rename, rm } from 'node:fs/promises';
import { basename } from 'node:path';
import { Transform } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import type { Client } from '@omgfs/client';
import { createProgress, formatBytes, printJson, printLine } from '../output.ts';

/** `file` is a path, or `-` for standard output. A file appears whole or not at all. */
export async function getCommand(
  client: Client,
  key: string,
  file: string | undefined,
  options: { json: boolean },
): Promise<void> {
  const { stream, length } = await client.get(key);
  if (file === '-') return pipeline(stream, process.stdout);
  const path = file ?? (basename(key) || 'file');
  const part = `${path}.${process.pid}.part`;
  const progress = createProgress({ label: key, unit: 'bytes', total: length, json: options.json });
  const meter = new Transform({
    transform: (chunk: Buffer, _, done) => {
      progress.add({ bytes: chunk.length });
      done(undefined, chunk);
    },
  });
  try {
    await pipeline(stream, meter, createWriteStream(part));
    await rename(part, path);
  } catch (error) {
    await rm(part, { force: true });
    throw error;
  } finally {
    progress.stop();
  }
  if (options.json) printJson({ key, file: path, bytes: length });
  else printLine(`${path}  ${formatBytes(length)}`);
}
