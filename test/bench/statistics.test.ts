/**
 * Goal: the numbers the load tool prints are the numbers it measured.
 * Method: histogram against sorted samples, statistics and command line against tables.
 */
import { describe, expect, test } from 'vitest';
import { loadBench } from './load-bench.ts';

interface Histogram {
  readonly count: number;
  record(micros: number): void;
  quantile(share: number): number;
}

const { Histogram } = await loadBench<{ Histogram: new () => Histogram }>('load/histogram.ts');
const { median, spread } = await loadBench<{
  median(values: readonly number[]): number;
  spread(values: readonly number[]): unknown;
}>('load/statistics.ts');

describe('histogram', () => {
  test('quantiles are within one percent of the sorted samples, from 1 µs to minutes', () => {
    const histogram = new Histogram();
    const samples: number[] = [];
    for (let value = 1; value < 300e6; value = value * 1.003 + 1) samples.push(value);
    for (const sample of samples) histogram.record(sample);
    expect(histogram.count).toBe(samples.length);
    for (const share of [0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1]) {
      const exact = samples[Math.ceil(share * samples.length) - 1] ?? 0;
      const error = Math.abs(histogram.quantile(share) - exact);
      expect(error, `quantile ${share} of ${exact}`).toBeLessThanOrEqual(0.5 + exact * 0.01);
    }
  });

  test.each([0, 1, 127, 128, 129, 255, 256, 1000, 65_535, 65_536, 1e6])(
    'a single sample of %d µs is every quantile',
    (value) => {
      const histogram = new Histogram();
      histogram.record(value);
      for (const share of [0, 0.5, 1]) {
        expect(Math.abs(histogram.quantile(share) - value)).toBeLessThanOrEqual(value * 0.01);
      }
    },
  );

  test('what is out of range is counted at its ends', () => {
    const histogram = new Histogram();
    histogram.record(-5);
    histogram.record(1e15);
    expect(histogram.count).toBe(2);
    expect(histogram.quantile(0.5)).toBe(0);
    expect(histogram.quantile(1)).toBeGreaterThan(2e9);
  });

  test('without samples every quantile is zero', () => {
    expect(new Histogram().quantile(0.99)).toBe(0);
  });
});

describe('statistics', () => {
  test.each([
    [[3], 3],
    [[3, 1], 2],
    [[9, 1, 5], 5],
    [[4, 1, 3, 2], 2.5],
  ])('median of %j is %d', (values, expected) => {
    expect(median(values)).toBe(expected);
  });

  test('a spread has the median and the ends and leaves its input alone', () => {
    const values = [10, 2, 33];
    expect(spread(values)).toEqual({ median: 10, min: 2, max: 33 });
    expect(values).toEqual([10, 2, 33]);
  });

  test('nothing has no median', () => {
    expect(() => median([])).toThrow(RangeError);
  });
});
