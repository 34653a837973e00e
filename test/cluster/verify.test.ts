/**
 * Goal: `omgfs admin verify` finds every kind of damage and nothing where there is none.
 * Method: a real cluster whose disks and database are damaged by hand, one kind after the other.
 */
import { appendFileSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { createAdmin, createClient } from '@omgfs/client';
import { fidPath } from '@omgfs/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ReplicaReader } from '../../packages/cli/src/verify/replica-reader.ts';
import { verifyFiles } from '../../packages/cli/src/verify/verify.ts';
import { runOmgfs } from '../helpers/command-line.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-verify-'));
const manifest = join(dir, 'manifest.jsonl');
let cluster: LocalCluster;
/** fid and devices by key. */
const stored = new Map<string, { fid: number; devids: number[] }>();

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain: 'main' });
  const trackers = [...cluster.trackers];
  const admin = createAdmin({ trackers });
  const client = createClient({ trackers, domain: 'main' });
  await admin.createClass({ domain: 'main', name: 'sums', mindevcount: 2, hashtype: 'MD5' });
  for (const key of ['a', 'b', 'c', 'd']) {
    const { fid } = await client.put(key, Buffer.from(`body of ${key}`), {
      class: 'sums',
      checksum: 'MD5',
    });
    const debug = await until(`two copies of ${key}`, async () => {
      const fields = await admin.call('file_debug', { fid });
      return fields.fid_devcount === '2' && !fields.replqueue_fid ? fields : undefined;
    });
    stored.set(key, { fid, devids: (debug.devids ?? '').split(',').map(Number) });
    const line = { domain: 'main', key, length: 9, checksum: debug.checksum };
    appendFileSync(manifest, `${JSON.stringify(line)}\n`);
  }
  await client.close();
  await admin.close();
});
afterAll(async () => {
  await cluster?.stop();
  rmSync(dir, { recursive: true, force: true });
});

async function verify(...flags: string[]) {
  const args = ['--tracker', cluster.trackers[0] ?? '', '--json', 'admin', 'verify', ...flags];
  const { code, out, err } = await runOmgfs(args, { cwd: dir });
  const lines = String(out).trimEnd().split('\n');
  const findings = lines.filter((line) => line !== '').map((line) => JSON.parse(line));
  return { code, findings, err };
}

/** Where the copy of a key is on the disk of its device number `index`. */
function fileOf(key: string, index: number): string {
  const { fid, devids } = stored.get(key) ?? { fid: 0, devids: [] };
  const devid = devids[index] ?? 0;
  const host = cluster.hosts.find((one) => one.devids.includes(devid));
  return join(host?.docroot ?? '', fidPath(devid, fid));
}

test('a healthy cluster has nothing wrong', async () => {
  const flags = cluster.hosts.flatMap(({ docroot }) => ['--docroot', docroot]);
  const { code, findings } = await verify('--checksums', '--manifest', manifest, ...flags);
  expect({ code, findings }).toEqual({ code: 0, findings: [] });
});

test('a file whose second copy is still to come is a notice', async () => {
  const raw = new RawClient(cluster.trackers[0] ?? '');
  const client = createClient({ trackers: [...cluster.trackers], domain: 'main' });
  await raw.admin('!want 0 replicate');
  try {
    const { fid } = await client.put('young', Buffer.from('young'), { class: 'sums' });
    const { code, findings } = await verify();
    const detail = '1 of 2 copies; it waits for replication';
    const seen = { kind: 'copies_waiting', severity: 'notice', key: 'young', fid, detail };
    expect({ code, findings }).toMatchObject({ code: 0, findings: [seen] });
  } finally {
    await client.delete('young');
    await raw.admin('!want 1 replicate');
    await Promise.all([client.close(), raw.close()]);
  }
});

test('a file that is deleted while it is looked at is no damage', async () => {
  const trackers = [...cluster.trackers];
  const admin = createAdmin({ trackers });
  const client = createClient({ trackers, domain: 'main' });
  const reader = new ReplicaReader({ connectionsPerHost: 4 });
  const { fid } = await client.put('brief', Buffer.from('soon gone'));
  let looks = 0;
  // The tracker's answer of a moment ago: meanwhile the file is deleted, from its devices too.
  const late = createAdmin({ trackers });
  late.call = async (command, args) => {
    const reply = await admin.call(command, args);
    if (command !== 'file_debug' || reply.fid_dkey !== 'brief') return reply;
    looks += 1;
    await client.delete('brief');
    await until('its bytes are gone', async () => {
      const left = await admin.call('file_debug', { fid });
      return left.delqueue_fid === undefined && left.fid_fid === undefined;
    });
    return reply;
  };
  const found: unknown[] = [];
  await verifyFiles(
    { admin: late, reader },
    {
      checksums: false,
      concurrency: 1e9,
      onFinding: (one) => found.push(one),
      onProgress: () => {},
      signal: new AbortController().signal,
    },
  );
  reader.close();
  await Promise.all([client.close(), admin.close(), late.close()]);
  expect({ looks, found }).toEqual({ looks: 1, found: [] });
});

test('damage is found: a lost copy, a short one, other bytes, an unknown file', async () => {
  renameSync(fileOf('a', 0), join(dir, 'taken'));
  writeFileSync(fileOf('b', 0), 'short');
  writeFileSync(fileOf('c', 0), 'body of X');
  const stray = join(cluster.hosts[0]?.docroot ?? '', fidPath(1, 987_654));
  await mkdir(dirname(stray), { recursive: true });
  await writeFile(stray, 'x');
  const docroot = ['--docroot', cluster.hosts[0]?.docroot ?? ''];
  const { code, findings } = await verify('--checksums', '--manifest', manifest, ...docroot);
  expect(code).toBe(1);
  const seen = findings.map(({ kind, key, severity }) => `${severity} ${kind} ${key}`).sort();
  expect(seen).toEqual([
    'bad missing a',
    'bad too_few_copies a',
    'bad too_few_copies b',
    'bad too_few_copies c',
    'bad wrong_checksum c',
    'bad wrong_length b',
    'notice stray null',
  ]);
});

test('an acknowledged file that is gone, or has other bytes, is the worst', async () => {
  for (const index of [0, 1]) writeFileSync(fileOf('c', index), 'body of X');
  const line = { domain: 'main', key: 'never stored', length: 3 };
  appendFileSync(manifest, `${JSON.stringify(line)}\n`);
  const { code, findings, err } = await verify('--manifest', manifest);
  expect(code).toBe(1);
  expect(findings).toContainEqual(expect.objectContaining({ kind: 'lost', key: 'never stored' }));
  expect(findings).toContainEqual(expect.objectContaining({ kind: 'other_bytes', key: 'c' }));
  expect(err).toMatch(/things are wrong/);
});

test('a node that does not answer is a notice, not a lost copy', async () => {
  const [, second] = cluster.hosts;
  await second?.stop();
  const { findings } = await verify();
  await second?.start();
  const about = findings.filter(({ key }) => key === 'd');
  expect(about).toMatchObject([{ kind: 'unreachable', severity: 'notice' }]);
});

test('a manifest that is none is refused with its line', async () => {
  writeFileSync(join(dir, 'bad.jsonl'), '{"domain":"main","key":"a"}\nnonsense\n');
  const { code, err } = await verify('--manifest', join(dir, 'bad.jsonl'));
  expect(code).toBe(2);
  expect(err).toContain('bad.jsonl, line 2');
});
