#!/usr/bin/env node
/**
 * Moves one file by the client library, as a process of its own. Prints how long that took, its
 * processor time, and how much memory this process ever held. Arguments: what is done, domain,
 * tracker, class, file.
 */
import { createHash } from 'node:crypto';
import { createReadStream, readFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { createClient } from '@omgfs/client';

const [way = '', domain = '', tracker = '', className = '', file = ''] = process.argv.slice(2);
const client = createClient({ trackers: [tracker], domain });
const key = 'large';
const options = { class: className };

const ways: Record<string, () => Promise<unknown>> = {
  'put of a file': () => client.put(key, { file }, options),
  'put of a stream': () => client.put(key, createReadStream(file), options),
  'get to a file': async () => {
    const target = await open(file, 'w');
    await (await client.get(key)).each((piece) => target.writeFile(piece));
    await target.close();
  },
  'get to a digest': async () => pipeline((await client.get(key)).stream, createHash('md5')),
};

const startMs = performance.now();
await ways[way]?.();
const seconds = (performance.now() - startMs) / 1000;
await client.close();
const { user, system } = process.cpuUsage();
const peak = /^VmHWM:\s+(\d+) kB/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1];
console.log(
  JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6, peakBytes: Number(peak) * 1024 }),
);
