/**
 * Goal: an operator empties a disk by one command and is told when it can be pulled, also over
 * HTTP. Method: the built command on a real cluster.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { createAdmin, createClient } from '@omgfs/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runOmgfs } from '../helpers/command-line.ts';
import { until } from '../helpers/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-drain-'));
const keys = Array.from({ length: 20 }, (_, n) => `k${n}`);
let cluster: LocalCluster;
let admin: ReturnType<typeof createAdmin>;
let client: ReturnType<typeof createClient>;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 3, devicesPerHost: 1, domain: 'main' });
  const trackers = [...cluster.trackers];
  admin = createAdmin({ trackers });
  client = createClient({ trackers, domain: 'main' });
  for (const key of keys) await client.put(key, Buffer.from(`body of ${key}`));
  for (const key of keys) {
    await until(`two copies of ${key}`, async () => (await client.info(key)).devcount >= 2);
  }
});
afterAll(async () => {
  await client?.close();
  await admin?.close();
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function run(...args: string[]) {
  const all = ['--tracker', cluster.trackers[0] ?? '', 'admin', ...args];
  const { code, out, err } = await runOmgfs(all, { cwd: dir });
  return { code, out: String(out), err };
}

test('a disk is emptied, and files are where they should be', async () => {
  const { code, out, err } = await run('device', 'drain', 'dev1', '--wait');
  expect({ code, err }).toEqual({ code: 0, err: '' });
  expect(out).toMatch(/^dev1 +node1 +0 +0 +0 .* yes /m);
  expect(out).toContain('It can be pulled.');
  for (const key of keys) {
    const { devids } = await client.info(key);
    expect(devids).not.toContain(1);
    expect(devids.length).toBeGreaterThanOrEqual(2);
  }
  expect((await run('device', 'list', '--status', 'drain')).out).toContain('dev1');
  expect((await run('device', 'drain', 'dev1', '--stop')).code).toBe(0);
  expect((await run('drains')).out).toBe('No device is being emptied.\n');
});

test('what cannot be moved is told, with the reason', async () => {
  await admin.setDeviceStatus({ devid: 1, status: 'readonly' });
  expect((await run('host', 'evacuate', 'node2')).code).toBe(0);
  const said = await until('the reason is known', async () => {
    const { out } = await run('drains');
    return /\d+ wait: /.test(out) ? out : undefined;
  });
  expect(said).toMatch(/^dev2 +node2 .* no +\d+ replicas are left; \d+ wait: /m);
  const api = cluster.apis[0] ?? '';
  const [drain] = (await (await fetch(`${api}/v1/drains`)).json()) as Record<string, unknown>[];
  expect(drain).toMatchObject({ devid: 2, safe: 0 });
  expect((await fetch(`${api}/v1/devices/2/drain`, { method: 'DELETE' })).status).toBe(204);
  expect((await run('drains')).out).toBe('No device is being emptied.\n');
  await admin.setDeviceStatus({ devid: 1, status: 'alive' });
});

test('rebalance even can be started and followed', async () => {
  expect((await run('rebalance', 'even', '--by', 'files')).code).toBe(0);
  const { out } = await run('rebalance', 'status');
  expect(out).toMatch(/^running/m);
  expect((await run('rebalance', 'even', '--tolerance', '0')).code).toBe(2);
  // The other spelling is the same: refused while one runs, or begun when that is over.
  const again = await run('rebalance', '--even');
  expect(again.code === 0 || again.err.includes('[REBAL_ACTIVE]')).toBe(true);
  expect((await run('rebalance', 'evne')).err).toContain("unknown command 'evne'");
});

test('what does not exist is refused', async () => {
  expect((await run('device', 'drain', 'dev99')).err).toContain('[NO_DEVICE]');
  expect((await run('host', 'evacuate', 'nowhere')).err).toContain('[UNKNOWN_HOST]');
});
