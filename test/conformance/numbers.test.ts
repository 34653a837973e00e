/**
 * Goal: numbers in requests mean what they mean to the original: sizes by Perl's reading, fids that
 * cannot be are taken. Method: one real cluster, raw requests.
 */
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { putBody, RawClient } from '../helpers/raw-client.ts';

const domain = 'numbers';
let cluster: LocalCluster;
let client: RawClient;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 1, devicesPerHost: 1, domain });
  client = new RawClient(cluster.trackers[0] ?? '');
});
afterAll(async () => {
  await client?.close();
  await cluster?.stop();
});

test.each([
  ['5', 'OK'],
  ['5.0', 'OK'],
  ['5abc', 'OK'],
  ['+5', 'OK'],
  [' 5', 'OK'],
  ['0.5e1', 'OK'],
  ['', 'OK'],
  ['0', 'OK'],
  ['10abc', 'size_mismatch'],
  ['abc', 'size_mismatch'],
  ['00', 'size_mismatch'],
  ['-5', 'size_mismatch'],
  ['1234567890123456', 'size_mismatch'],
  ['99999999999999999999', 'size_mismatch'],
])('a close of 5 bytes with size=%j: %s', async (size, code) => {
  const opened = await client.call('create_open', { domain, key: 'k' });
  await putBody(opened.path ?? '', 'hello');
  expect(await client.code('create_close', { ...opened, domain, key: 'k', size })).toBe(code);
});

test.each(['9007199254740993', '99999999999999999999', '1e300'])(
  'the fid %s cannot be had',
  async (fid) => {
    expect(await client.code('create_open', { domain, key: 'k', fid })).toBe('fid_in_use');
  },
);

test('a fid is used once, and its integer part counts', async () => {
  const first = await client.call('create_open', { domain, key: 'k', fid: '700000.9' });
  expect(first.fid).toBe('700000');
  expect(await client.code('create_open', { domain, key: 'k', fid: '700000' })).toBe('fid_in_use');
  for (const fid of ['0', '', 'abc', '-3']) {
    const { fid: given } = await client.call('create_open', { domain, key: 'k', fid });
    expect(Number(given)).toBeGreaterThan(700_000);
  }
});
