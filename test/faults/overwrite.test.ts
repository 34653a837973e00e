/**
 * Goal: I3. While a key is overwritten again and again, a reader never meets a missing key or a
 * body that mixes versions, and a failed upload is never visible.
 * Method: bodies that name their version in every byte; readers that look all the time.
 */
import { Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { type Client, createClient } from '@omgfs/client';
import { afterAll, beforeAll, expect, test } from 'vitest';

let cluster: LocalCluster;
let client: Client;

beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain: 'over' });
  client = createClient({ trackers: cluster.trackers, domain: 'over' });
});
afterAll(async () => {
  await client?.close();
  await cluster?.stop();
});

const bodyBytes = 40_000;

test('I3: readers of an overwritten key see one whole version each time', async () => {
  const key = 'again and again';
  let version = 0;
  await client.put(key, Buffer.alloc(bodyBytes, version));
  let overwriting = true;
  const reads: number[] = [];
  const reader = async () => {
    while (overwriting) {
      const file = await client.get(key);
      const body = await buffer(file.stream);
      expect(body.length).toBe(bodyBytes);
      expect(body.every((byte) => byte === body[0])).toBe(true);
      reads.push(body[0] ?? -1);
    }
  };
  const readers = [reader(), reader(), reader(), reader()];
  try {
    for (version = 1; version <= 150; version += 1) {
      await client.put(key, Buffer.alloc(bodyBytes, version));
    }
  } finally {
    overwriting = false;
  }
  await Promise.all(readers);
  expect(new Set(reads).size).toBeGreaterThan(5);
  const last = await client.get(key);
  expect((await buffer(last.stream))[0]).toBe(150);
});

test('I3: an upload that breaks leaves the old version, or nothing', async () => {
  await client.put('kept', Buffer.from('old'));
  const broken = () =>
    Readable.from(
      (async function* () {
        yield Buffer.alloc(100_000, 1);
        throw new Error('the source broke');
      })(),
    );
  await expect(client.put('kept', broken())).rejects.toThrow();
  await expect(client.put('never', broken())).rejects.toThrow();
  const file = await client.get('kept');
  expect((await buffer(file.stream)).toString()).toBe('old');
  await expect(client.get('never')).rejects.toMatchObject({ code: 'UNKNOWN_KEY' });
});

test.each([
  ['in its first bytes', 100_000],
  ['in mid-body', 3_000_000],
])('I3: an upload that is aborted %s is invisible', async (_, bytes) => {
  const abort = new AbortController();
  const source = new Readable({ read: () => {} });
  source.push(Buffer.alloc(bytes, 1));
  const put = client.put('aborted', source, { signal: abort.signal });
  setImmediate(() => abort.abort());
  await expect(put).rejects.toThrow(/abort/);
  expect(source.destroyed).toBe(true);
  await expect(client.get('aborted')).rejects.toMatchObject({ code: 'UNKNOWN_KEY' });
});
