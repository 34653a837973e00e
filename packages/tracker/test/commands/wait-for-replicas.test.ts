/** Goal: a close that waits for copies asks the database seldom, and ends in time. Method: a real
 *  store, whose questions are counted. */
import { expect, test } from 'vitest';
import { waitForReplicas } from '../../src/commands/close-extras.ts';
import { startCluster } from '../jobs/cluster.ts';

test('a close waits for copies that cannot be made', async () => {
  const { store } = await startCluster({ engine: 'sqlite', hosts: 0, start: false });
  let asked = 0;
  const replicasOf = (fids: readonly number[]) => {
    asked += 1;
    return store.replicasOf(fids);
  };
  const close = { fid: 7, replicas: 1, waitMs: 700 };
  expect(await waitForReplicas({ replicasOf }, close)).toEqual({ devcount: 0 });
  // Fewer where the machine is slow; every 50 ms it were 14.
  expect(asked).toBeLessThan(10);
  const content = { fid: 7, replicas: 0, waitMs: 600_000 };
  expect(await waitForReplicas({ replicasOf }, content)).toEqual({ devcount: 0 });
});
