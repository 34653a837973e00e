/**
 * Goal: whatever lines come, a tracker answers each once, in order, well-formed, and stays within
 * its memory. Method: seeded lines on many connections of a real tracker, beside clients that
 * misbehave.
 */
import { readFileSync } from 'node:fs';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterEach, expect, test } from 'vitest';
import { loadBench } from '../bench/load-bench.ts';
import { RawClient } from '../helpers/raw-client.ts';

interface Fuzz {
  attack: (options: {
    host: string;
    port: number;
    lines: number;
    connections: number;
    seed: number;
  }) => Promise<{ replies: number; faults: string[] }>;
}

let cluster: LocalCluster | undefined;
afterEach(() => cluster?.stop());

function highWaterMib(pid: number | undefined): number {
  const kib = /^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  return Number(kib) / 1024;
}

test.each([
  ['one process', []],
  ['two query processes', ['--query_processes', '2']],
])('20,000 lines against %s', async (_, extraTrackerArgs) => {
  cluster = await startLocalCluster({
    hosts: 1,
    devicesPerHost: 1,
    domain: 'fuzz',
    extraTrackerArgs,
  });
  const { attack } = await loadBench<Fuzz>('fuzz/attack.ts');
  const [host = '', port] = (cluster.trackers[0] ?? '').split(':');
  const pid = cluster.trackerDaemons[0]?.pid;
  const attacked = await attack({
    host,
    port: Number(port),
    lines: 20_000,
    connections: 8,
    seed: 7,
  });
  expect(attacked.faults).toEqual([]);
  expect(attacked.replies).toBeGreaterThan(19_000);
  // The same process as before, and not far from the 128 MiB that all clients may make it keep.
  expect(cluster.trackerDaemons[0]?.pid).toBe(pid);
  expect(highWaterMib(pid)).toBeLessThan(400);
  const client = new RawClient(cluster.trackers[0] ?? '');
  expect(await client.ask('noop\r\n')).toBe('OK \r\n');
  await client.close();
});
