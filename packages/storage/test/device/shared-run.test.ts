/** Goal: every caller gets a run that began after its call. Method: runs held open by hand. */
import { expect, test } from 'vitest';
import { SharedRun } from '../../src/device/shared-run.ts';

/** A run begins when the code that asked for it has come to its end. */
const begun = () => Promise.resolve();

function createGate() {
  const runs: { finish: () => void; fail: (error: Error) => void }[] = [];
  const shared = new SharedRun(
    () => new Promise((resolve, reject) => runs.push({ finish: resolve, fail: reject })),
  );
  return { runs, shared };
}

test('callers during a run share the one after it, and no two runs overlap', async () => {
  const { runs, shared } = createGate();
  const first = Promise.all([shared.run(), shared.run()]);
  expect(runs).toHaveLength(0);
  await begun();
  let secondDone = false;
  const second = Promise.all([shared.run(), shared.run()]).then(() => {
    secondDone = true;
  });
  expect(runs).toHaveLength(1);
  runs[0]!.finish();
  await first;
  await Promise.resolve();
  // Asked for while the second is only just beginning: still not a third beside it.
  const third = shared.run();
  expect(runs).toHaveLength(2);
  expect(secondDone).toBe(false);
  runs[1]!.finish();
  await second;
  await Promise.resolve();
  expect(runs).toHaveLength(3);
  runs[2]!.finish();
  await third;
  expect(shared.idle).toBe(true);
});

test('a failure reaches those who waited for that run and nobody else', async () => {
  const { runs, shared } = createGate();
  const first = shared.run();
  await begun();
  const second = shared.run();
  runs[0]!.fail(new Error('disk on fire'));
  await expect(first).rejects.toThrow('disk on fire');
  runs[1]!.finish();
  await expect(second).resolves.toBeUndefined();
  expect(shared.idle).toBe(true);
});
