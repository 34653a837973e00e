/** Goal: what a Range header asks for, by RFC 9110 §14. Method: a table. */
import { expect, test } from 'vitest';
import { chooseRanges } from '../../src/http/range.ts';

const one = (start: number, end: number) => [{ start, end }];

test.each([
  [undefined, 10, 'whole'],
  ['bytes=0-0', 10, one(0, 0)],
  ['bytes=0-', 10, one(0, 9)],
  ['BYTES=2-5', 10, one(2, 5)],
  ['bytes=2-500', 10, one(2, 9)],
  ['bytes=-3', 10, one(7, 9)],
  ['bytes=-30', 10, one(0, 9)],
  ['bytes=10-', 10, 'unsatisfiable'],
  ['bytes=10-20', 10, 'unsatisfiable'],
  ['bytes=-0', 10, 'unsatisfiable'],
  ['bytes=0-', 0, 'unsatisfiable'],
  ['bytes=-5', 0, 'unsatisfiable'],
  ['bytes=0-1,4-5', 10, [...one(0, 1), ...one(4, 5)]],
  ['bytes= 0-1 , 4-5', 10, [...one(0, 1), ...one(4, 5)]],
  ['bytes=0-1,,4-5', 10, [...one(0, 1), ...one(4, 5)]],
  ['bytes=0-1,50-60', 10, one(0, 1)],
  ['bytes=50-60,70-', 10, 'unsatisfiable'],
  // Not understood, or an abuse: the header is ignored.
  ['items=0-1', 10, 'whole'],
  ['bytes=5-2', 10, 'whole'],
  ['bytes=a-b', 10, 'whole'],
  ['bytes=-', 10, 'whole'],
  ['bytes=1', 10, 'whole'],
  ['bytes=0-,0-,0-', 10, 'whole'],
  [`bytes=${Array.from({ length: 40 }, (_, i) => `${i}-${i}`).join()}`, 100, 'whole'],
])('%s of %d bytes', (header, length, expected) => {
  expect(chooseRanges(header, length)).toEqual(expected);
});
