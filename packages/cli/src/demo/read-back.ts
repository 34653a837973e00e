/** Reads files through their replica URLs; compares them with what was sent and with the disk. */
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { pipeline } from 'node:stream/promises';
import type { Client } from '@omgfs/client';
import { toOmgfsError } from '@omgfs/protocol';
import { createProgress } from '../output.ts';
import { inParallel } from '../tree.ts';
import type { SentFile } from './store.ts';

const filesAtOnce = 16;

export interface ReadBack {
  /** A line for each file that did not come back byte for byte. */
  wrong: string[];
  /** Keys whose file on disk is no longer what was sent; it says nothing of the replica. */
  changed: string[];
}

/** @throws the reason of the signal. */
export async function readBack(
  client: Client,
  sent: readonly SentFile[],
  signal: AbortSignal,
): Promise<ReadBack> {
  const found: ReadBack = { wrong: [], changed: [] };
  const total = sent.reduce((sum, { bytes }) => sum + bytes, 0);
  const progress = createProgress({ label: 'reading', unit: 'bytes', total, json: false });
  try {
    await inParallel(sent, { concurrency: filesAtOnce }, async ({ key, path, bytes, sha1 }) => {
      signal.throwIfAborted();
      try {
        const { stream } = await client.get(key, { signal });
        const hash = createHash('sha1');
        let seen = 0;
        for await (const chunk of stream as AsyncIterable<Buffer>) {
          hash.update(chunk);
          seen += chunk.length;
        }
        if (seen !== bytes) found.wrong.push(`${key}: ${seen} bytes instead of ${bytes}`);
        else if (hash.digest('hex') !== sha1)
          found.wrong.push(`${key}: other bytes than were sent`);
        else if ((await digestOf(path)) !== sha1) found.changed.push(key);
      } catch (error) {
        signal.throwIfAborted();
        found.wrong.push(`${key}: ${toOmgfsError(error).message}`);
      }
      progress.add({ bytes });
    });
  } finally {
    progress.stop();
  }
  return { wrong: found.wrong.sort(), changed: found.changed.sort() };
}

/** Undefined when the file cannot be read any more. */
async function digestOf(path: string): Promise<string | undefined> {
  const hash = createHash('sha1');
  try {
    await pipeline(createReadStream(path), hash);
  } catch {
    return undefined;
  }
  return hash.digest('hex');
}
