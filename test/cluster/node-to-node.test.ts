/**
 * Goal: replicas go from node to node, not through the tracker, and through it where a node does
 * not offer that. Method: real clusters; the logs of the storage nodes tell which way it was.
 */

import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { createClient } from '@omgfs/client';
import { expect, test } from 'vitest';
import { until } from '../helpers/wait.ts';

async function replicate(cluster: LocalCluster): Promise<Buffer[]> {
  const client = createClient({ trackers: [...cluster.trackers], domain: 'main' });
  try {
    const body = Buffer.alloc(3_000_000, 'x');
    await client.put('k', body);
    const paths = await until('two copies', async () => {
      const found = await client.paths('k');
      return found.length === 2 ? found : undefined;
    });
    return Promise.all(
      paths.map(async (path) => Buffer.from(await (await fetch(path)).arrayBuffer())),
    );
  } finally {
    await client.close();
  }
}

const wanted = { hosts: 2, devicesPerHost: 1, domain: 'main' };
const pulled = (cluster: LocalCluster) =>
  cluster.hosts.some(({ name }) => {
    return readFileSync(join(cluster.dir, 'logs', `${name}.log`), 'utf8').includes('"file.pulled"');
  });

test('the target fetches the file from the source', async () => {
  await using cluster = await startLocalCluster(wanted);
  for (const copy of await replicate(cluster)) expect(copy.length).toBe(3_000_000);
  expect(pulled(cluster)).toBe(true);
});

test('where nodes do not fetch, the tracker carries the bytes', async () => {
  const extraStorageArgs = ['--allow', '0.0.0.0/0', '--nopull'];
  await using cluster = await startLocalCluster({ ...wanted, extraStorageArgs });
  for (const copy of await replicate(cluster)) expect(copy.length).toBe(3_000_000);
  expect(pulled(cluster)).toBe(false);
});

test('signed, it works as well', async () => {
  await using cluster = await startLocalCluster({
    ...wanted,
    extraTrackerArgs: ['--url_secret', 's'],
    extraStorageArgs: ['--url-secret', 's'],
  });
  for (const copy of await replicate(cluster)) expect(copy.length).toBeGreaterThan(0);
  expect(pulled(cluster)).toBe(true);
});
