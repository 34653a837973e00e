/**
 * Goal: I7. A file of 2 GiB passes through every process in bounded memory: each stays below
 * 200 MiB of resident memory, the client's included.
 * Method: the file is generated while `omgfs put` reads it and compared while `omgfs get` writes
 * it; the peak of every process is what the kernel recorded (VmHWM).
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { fileURLToPath } from 'node:url';
import { startLocalCluster } from '@omgfs/cli';
import { expect, test } from 'vitest';
import { RawClient } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

const bytes = 2 * 1024 ** 3;
const chunkBytes = 1024 * 1024;
const residentMbMax = 200;
const omgfs = fileURLToPath(new URL('../../packages/cli/dist/bin/omgfs.js', import.meta.url));

function peakMb(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1]) / 1024;
}

/** Looks at a child's peak while it lives; the kernel forgets it when it ends. */
function watchPeak(child: ChildProcess): () => number {
  let seen = 0;
  const timer = setInterval(() => {
    try {
      // A process that has just ended has no such line any more.
      seen = Math.max(seen, peakMb(child.pid) || 0);
    } catch {
      // It has ended and is gone.
    }
  }, 50);
  child.once('exit', () => clearInterval(timer));
  return () => seen;
}

/** Chunks that differ, cheap to make and to compare. */
const chunk = Buffer.alloc(chunkBytes, 'omgfs ');

function* generate(): Generator<Buffer> {
  for (let count = 0; count < bytes / chunkBytes; count += 1) {
    chunk.writeUInt32BE(count, 0);
    yield Buffer.from(chunk);
  }
}

/** Reads to the end. @throws Error at the first byte that is not as generated. */
async function expectGenerated(stream: AsyncIterable<Buffer>): Promise<void> {
  let at = 0;
  for await (const piece of stream) {
    for (let done = 0; done < piece.length; ) {
      const from = at % chunkBytes;
      const length = Math.min(piece.length - done, chunkBytes - from);
      chunk.writeUInt32BE(Math.floor(at / chunkBytes), 0);
      if (chunk.compare(piece, done, done + length, from, from + length) !== 0) {
        throw new Error(`other bytes from ${at} on`);
      }
      done += length;
      at += length;
    }
  }
  expect(at).toBe(bytes);
}

test('I7: 2 GiB in and out leave every process below 200 MiB', async () => {
  await using cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain: 'large' });
  const where = ['--tracker', cluster.trackers.join(','), '--domain', 'large'];

  const put = spawn(process.execPath, [omgfs, ...where, 'put', '-', 'big'], {
    stdio: ['pipe', 'ignore', 'inherit'],
  });
  const putPeak = watchPeak(put);
  const [[putCode]] = await Promise.all([
    once(put, 'exit'),
    pipeline(Readable.from(generate()), put.stdin),
  ]);
  expect(putCode).toBe(0);

  const raw = new RawClient(cluster.trackers[0] ?? '');
  await until(
    'the second copy',
    async () => {
      const info = await raw.call('file_info', { domain: 'large', key: 'big' });
      return info.devcount === '2' && info.length === String(bytes);
    },
    { everyMs: 200 },
  );
  await raw.close();

  const get = spawn(process.execPath, [omgfs, ...where, 'get', 'big', '-'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const getPeak = watchPeak(get);
  await expectGenerated(get.stdout);

  const peaks: Record<string, number> = { put: putPeak(), get: getPeak() };
  for (const { name, pid } of [...cluster.trackerDaemons, ...cluster.hosts]) {
    peaks[name] = peakMb(pid);
  }
  const tooLarge = Object.entries(peaks).filter(([, mb]) => mb >= residentMbMax);
  expect(tooLarge).toEqual([]);
  expect(Object.values(peaks).every((mb) => mb > 0)).toBe(true);
}, 480_000);
