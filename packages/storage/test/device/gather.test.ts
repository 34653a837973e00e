/** Goal: files go on in groups, and none waits for ever. Method: work that is ended by hand. */
import { expect, test } from 'vitest';
import { Gather } from '../../src/device/io/gather.ts';

/** Ends of works in the order in which they were begun, and which of them went on. */
function begin(count: number) {
  const gather = new Gather(16);
  const ends: { finish: () => void; fail: (error: Error) => void }[] = [];
  const wentOn: number[] = [];
  const runs = Array.from({ length: count }, async (_, at) => {
    await gather.run(() => new Promise<void>((finish, fail) => ends.push({ finish, fail })));
    wentOn.push(at);
  });
  const finish = async (...which: number[]) => {
    for (const at of which) ends[at]!.finish();
    // Whatever has to happen in microtasks has happened by then.
    await new Promise(setImmediate);
  };
  return { ends, runs, wentOn, finish };
}

test('those that are done wait for those that are at work, and go on with them', async () => {
  const { runs, wentOn, finish } = begin(3);
  await finish(2, 0);
  expect(wentOn).toEqual([]);
  await finish(1);
  await Promise.all(runs);
  expect(wentOn).toEqual([2, 0, 1]);
});

test('one that never ends holds up no more than fifteen', async () => {
  const { wentOn, finish } = begin(18);
  await finish(...Array.from({ length: 15 }, (_, at) => at));
  expect(wentOn).toHaveLength(0);
  await finish(15);
  expect(wentOn).toHaveLength(16);
});

test('a failure is its own, and lets the others go when it was the last at work', async () => {
  const { ends, runs, wentOn, finish } = begin(3);
  await finish(0);
  ends[1]!.fail(new Error('disk on fire'));
  await expect(runs[1]).rejects.toThrow('disk on fire');
  expect(wentOn).toEqual([]);
  ends[2]!.fail(new Error('disk gone'));
  await expect(runs[2]).rejects.toThrow('disk gone');
  await runs[0];
  expect(wentOn).toEqual([0]);
});
