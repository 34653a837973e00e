/**
 * Goal: the rate of a fsck is that of the time it ran, of late, and falls when it stands still.
 * Method: the text that is kept, step by step.
 */
import { expect, test } from 'vitest';
import { paceOf, paceText } from '../../src/store/sql/fsck/pace.ts';

const run = { started: 1000, startFid: 500 };

/** A run of `steps` seconds of driving, with so many files, and twice the fids, in each. */
function after(steps: readonly number[], before?: string): { text: string; now: number } {
  let text = before;
  let checked = 0;
  let now = run.started;
  for (const files of steps) {
    checked += files;
    now += 1;
    const step = { activeMs: 1000, checked, to: run.startFid + 2 * checked };
    text = paceText(text, { ...run, now }, step);
  }
  return { text: text ?? '', now };
}

test('the rate of now is that of the last half minute, the other that of the whole run', () => {
  const { text, now } = after([...Array(100).fill(10), ...Array(40).fill(50)]);
  const pace = paceOf(text, { ...run, now });
  expect(pace?.filesPerSecondNow).toBeCloseTo(50);
  expect(pace?.fidsPerSecondNow).toBeCloseTo(100);
  expect(pace?.filesPerSecond).toBeCloseTo(3000 / 140);
  expect(text.length).toBeLessThan(500);
});

test('a rest is no part of it: only the time between the steps that was driven counts', () => {
  const { text } = after([10, 10, 10]);
  const now = run.started + 7200;
  const rested = paceText(text, { ...run, now }, { activeMs: 1000, checked: 40, to: 580 });
  expect(paceOf(rested, { ...run, now })).toMatchObject({
    ...{ filesPerSecond: 10, filesPerSecondNow: 10, fidsPerSecondNow: 20 },
  });
});

test('a run that stands still slows down', () => {
  const { text, now } = after(Array(10).fill(10));
  const rateAfter = (seconds: number) =>
    paceOf(text, { ...run, now: now + seconds })?.filesPerSecondNow ?? 0;
  expect(rateAfter(4)).toBeCloseTo(10);
  expect(rateAfter(60)).toBeLessThan(2);
});

test('what is kept of another run is forgotten', () => {
  const { text, now } = after([10]);
  expect(paceOf(text, { started: 2000, now })).toBeUndefined();
  expect(paceOf(undefined, { ...run, now })).toBeUndefined();
  const step = { activeMs: 500, checked: 20, to: 520 };
  const next = paceText(text, { started: 2000, startFid: 500, now: 2001 }, step);
  expect(paceOf(next, { started: 2000, now: 2001 })?.filesPerSecond).toBeCloseTo(40);
});
