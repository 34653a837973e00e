/**
 * Goal: I7. Work that any of several signals may end leaves nothing behind on those that live as
 * long as the process. Method: the listeners of such signals are counted while it runs and after.
 */
import { getEventListeners } from 'node:events';
import { expect, test } from 'vitest';
import { stopController, underAny } from '../../src/devices/any-signal.ts';

const listeners = (...signals: AbortSignal[]) =>
  signals.map((signal) => getEventListeners(signal, 'abort').length);

test('I7: signals that live on keep nothing of work that is over, however it ended', async () => {
  const [stopping, lost] = [new AbortController().signal, new AbortController().signal];
  for (let round = 0; round < 100; round += 1) {
    const work = underAny([stopping, lost], async (signal) => {
      expect(listeners(stopping, lost)).toEqual([1, 1]);
      expect(signal.aborted).toBe(false);
      if (round % 2 === 1) throw new Error('failed');
      return round;
    });
    await (round % 2 === 1 ? expect(work).rejects.toThrow('failed') : work);
  }
  expect(listeners(stopping, lost)).toEqual([0, 0]);
});

test('each of the signals ends the work, also one that ended before', async () => {
  const [first, second] = [new AbortController(), new AbortController()];
  const signals = [first.signal, second.signal];
  const ended = await underAny(signals, async (signal) => {
    second.abort();
    return signal.aborted;
  });
  expect(ended).toBe(true);
  expect(await underAny(signals, async ({ aborted }) => aborted)).toBe(true);
  expect(listeners(...signals)).toEqual([0, 0]);
});

test('many may work under one signal without a warning', async () => {
  const warnings: Error[] = [];
  const note = (warning: Error) => warnings.push(warning);
  process.on('warning', note);
  const { signal } = new AbortController();
  await Promise.all(Array.from({ length: 20 }, () => underAny([signal], nextTurn)));
  const stop = stopController();
  for (let at = 0; at < 20; at += 1) stop.signal.addEventListener('abort', () => {});
  await nextTurn();
  process.off('warning', note);
  expect(warnings).toEqual([]);
});

function nextTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
