/** Reads files through their replica URLs and compares them with what was sent. */
import { createHash } from 'node:crypto';
import type { Client } from '@omgfs/client';
import { toOmgfsError } from '@omgfs/protocol';
import { createProgress } from '../output.ts';
import { inParallel } from '../tree.ts';
import type { SentFile } from './demo.ts';

const filesAtOnce = 16;

/** @returns a line for each file that did not come back byte for byte. */
export async function readBack(client: Client, sent: readonly SentFile[]): Promise<string[]> {
  const wrong: string[] = [];
  const total = sent.reduce((sum, { bytes }) => sum + bytes, 0);
  const progress = createProgress({ label: 'reading', unit: 'bytes', total, json: false });
  await inParallel(sent, { concurrency: filesAtOnce }, async ({ key, bytes, sha1 }) => {
    try {
      const hash = createHash('sha1');
      let seen = 0;
      for await (const chunk of (await client.get(key)).stream) {
        hash.update(chunk as Buffer);
        seen += (chunk as Buffer).length;
      }
      if (seen !== bytes) wrong.push(`${key}: ${seen} bytes instead of ${bytes}`);
      else if (hash.digest('hex') !== sha1) wrong.push(`${key}: other bytes than were sent`);
    } catch (error) {
      wrong.push(`${key}: ${toOmgfsError(error).message}`);
    }
    progress.add({ bytes });
  });
  progress.stop();
  return wrong;
}
