/** Goal: one contended row fails alone. Method: a batcher whose send refuses one request. */
import { OmgfsError } from '@omgfs/protocol';
import { expect, test } from 'vitest';
import { Batcher } from '../../src/batcher.ts';
import { codeOf } from './fixture.ts';

test('a request that waits for a lock for too long does not fail its neighbours', async () => {
  const batcher = new Batcher<string, string>({
    rowsMax: 10,
    inFlightMax: 1,
    queueMax: 10,
    send: async (requests) => {
      if (requests.includes('hot')) throw new OmgfsError('DB_BUSY');
      return requests;
    },
  });
  const codes = await Promise.all(['a', 'hot', 'b'].map((name) => codeOf(batcher.run(name))));
  expect(codes).toEqual(['none', 'DB_BUSY', 'none']);
});
