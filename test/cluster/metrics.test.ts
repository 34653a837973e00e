/**
 * Goal: a monitoring system can follow a tracker and its cluster: figures of all its processes in
 * one well-formed page, which survive the death of a process.
 * Method: a real tracker of several processes, read by a strict parser of the text format.
 */
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { createClient } from '@omgfs/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { databaseOf } from '../helpers/mariadb.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

const domain = 'figures';
let cluster: LocalCluster;

beforeAll(async () => {
  cluster = await startLocalCluster({
    ...{ hosts: 2, devicesPerHost: 1, domain },
    ...(await databaseOf(sharedServer())),
    extraTrackerArgs: ['--query_processes', '2'],
  });
});
afterAll(() => cluster?.stop());

/** Samples by name and labels; throws on a line that is none. */
async function collect(): Promise<Map<string, number>> {
  const reply = await fetch(`${cluster.apis[0]}/metrics`);
  expect(reply.status).toBe(200);
  expect(reply.headers.get('content-type')).toContain('version=0.0.4');
  const text = await reply.text();
  expect(text.endsWith('\n')).toBe(true);
  const samples = new Map<string, number>();
  const described = new Set<string>();
  for (const line of text.slice(0, -1).split('\n')) {
    const type = /^# TYPE (\w+) (?:counter|gauge|histogram)$/.exec(line)?.[1];
    if (type !== undefined) {
      expect(described.has(type)).toBe(false);
      described.add(type);
    }
    if (line.startsWith('#')) continue;
    const match =
      /^((\w+?)(?:_bucket|_sum|_count)?(?:\{(?:\w+="(?:[^"\\\n]|\\.)*",?)+\})?) (\S+)$/.exec(line);
    expect(match, line).not.toBeNull();
    const [, sample = '', family = '', value] = match ?? [];
    expect(described, line).toContain(family);
    expect(Number.isFinite(Number(value)), line).toBe(true);
    expect(samples.has(sample), line).toBe(false);
    samples.set(sample, Number(value));
  }
  return samples;
}

/** Processes tell what they did in their own time, so what was just done is waited for. */
function collected(what: string, holds: (samples: Map<string, number>) => boolean) {
  return until(
    what,
    async () => {
      const samples = await collect();
      return holds(samples) ? samples : undefined;
    },
    { everyMs: 100 },
  );
}

const noops = 'omgfs_command_seconds_count{command="noop"}';

async function doNoops(count: number): Promise<void> {
  const raw = new RawClient(cluster.trackers[0] ?? '');
  for (let turn = 0; turn < count; turn += 1) await raw.call('noop');
  await raw.close();
}

test('tells requests, queues, hosts, devices and memory', async () => {
  const client = createClient({ trackers: cluster.trackers, domain });
  await client.put('a', Buffer.from('bytes'));
  await client.info('missing').catch(() => {});
  await client.close();
  await doNoops(7);
  const samples = await collected('the requests to be counted', (all) => all.get(noops) === 7);
  expect(samples.get('omgfs_command_seconds_bucket{command="noop",le="+Inf"}')).toBe(7);
  expect(samples.get('omgfs_command_failures_total{command="file_info"}')).toBe(1);
  expect(samples.get('omgfs_command_failures_total{command="noop"}')).toBe(0);
  expect(samples.get('omgfs_database_up')).toBe(1);
  expect(samples.get('omgfs_queue_rows{queue="replicate",state="parked"}')).toBe(0);
  const [host] = cluster.hosts;
  const device = `devid="${host?.devids[0]}",host="${host?.name}"`;
  expect(samples.get(`omgfs_device_state{${device},state="alive"}`)).toBe(1);
  expect(samples.get(`omgfs_device_state{${device},state="dead"}`)).toBe(0);
  expect(samples.get(`omgfs_device_writeable{${device}}`)).toBe(1);
  expect(samples.get(`omgfs_device_size_bytes{${device}}`)).toBeGreaterThan(0);
  const memory = [...samples].filter(([name]) => name.startsWith('omgfs_resident_bytes'));
  expect(memory.filter(([name]) => name.includes('query'))).toHaveLength(2);
  expect(memory.every(([, bytes]) => bytes > 0)).toBe(true);
});

test('names that clients make up are one', async () => {
  const raw = new RawClient(cluster.trackers[0] ?? '');
  for (let turn = 0; turn < 5; turn += 1) await raw.ask(`made_up_${turn}\r\n`);
  await raw.close();
  const unknown = 'omgfs_command_failures_total{command="unknown"}';
  const samples = await collected('them to be counted', (all) => (all.get(unknown) ?? 0) >= 5);
  expect([...samples.keys()].filter((name) => name.includes('made_up'))).toEqual([]);
});

test('counters do not go back when a process dies', async () => {
  const before = (await collect()).get(noops) ?? 0;
  await doNoops(5);
  const all = before + 5;
  const samples = await collected('all to be counted', (seen) => seen.get(noops) === all);
  const pids = [...samples.keys()].flatMap(
    (name) => /process="query",pid="(\d+)"/.exec(name)?.[1] ?? [],
  );
  for (const pid of pids) process.kill(Number(pid), 'SIGKILL');
  const later = await collected('other processes to be there', (seen) => {
    const now = [...seen.keys()].filter((name) => name.includes('process="query"'));
    return now.length === 2 && !now.some((name) => pids.some((pid) => name.includes(`"${pid}"`)));
  });
  expect(later.get(noops)).toBe(all);
});
