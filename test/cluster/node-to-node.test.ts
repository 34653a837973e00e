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

/** One that travels by itself, and one that travels in a batch. */
const lengths = [3_000_000, 30_000];

async function replicate(cluster: LocalCluster): Promise<number[]> {
  const client = createClient({ trackers: [...cluster.trackers], domain: 'main' });
  try {
    const copies = lengths.map(async (length) => {
      await client.put(`k${length}`, Buffer.alloc(length, 'x'));
      const paths = await until('two copies', async () => {
        const found = await client.paths(`k${length}`);
        return found.length === 2 ? found : undefined;
      });
      const bodies = paths.map(
        async (path) => (await (await fetch(path)).arrayBuffer()).byteLength,
      );
      return Promise.all(bodies);
    });
    return (await Promise.all(copies)).flat();
  } finally {
    await client.close();
  }
}

const wanted = { hosts: 2, devicesPerHost: 1, domain: 'main' };
/** Files that nodes fetched from each other. */
function pulled(cluster: LocalCluster): number {
  const logs = cluster.hosts.map(({ name }) =>
    readFileSync(join(cluster.dir, 'logs', `${name}.log`), 'utf8'),
  );
  const text = logs.join('');
  const bundled = [...text.matchAll(/"files":(\d+).*"files.pulled"/g)].map((match) =>
    Number(match[1]),
  );
  return text.split('"file.pulled"').length - 1 + bundled.reduce((sum, files) => sum + files, 0);
}

test('the target fetches the file from the source', async () => {
  await using cluster = await startLocalCluster(wanted);
  expect(await replicate(cluster)).toEqual(lengths.flatMap((length) => [length, length]));
  expect(pulled(cluster)).toBe(lengths.length);
});

test('where nodes do not fetch, the tracker carries the bytes', async () => {
  const extraStorageArgs = ['--allow', '0.0.0.0/0', '--nopull'];
  await using cluster = await startLocalCluster({ ...wanted, extraStorageArgs });
  expect(await replicate(cluster)).toEqual(lengths.flatMap((length) => [length, length]));
  expect(pulled(cluster)).toBe(0);
});

test('signed, it works as well', async () => {
  await using cluster = await startLocalCluster({
    ...wanted,
    extraTrackerArgs: ['--url_secret', 's'],
    extraStorageArgs: ['--url-secret', 's'],
  });
  expect(await replicate(cluster)).toEqual(lengths.flatMap((length) => [length, length]));
  expect(pulled(cluster)).toBe(lengths.length);
});
