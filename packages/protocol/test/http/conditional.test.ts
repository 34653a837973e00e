/** Goal: preconditions in the order of RFC 9110 §13.2.2. Method: a table. */
import { expect, test } from 'vitest';
import { evaluateConditions, rangeApplies } from '../../src/http/conditional.ts';

const modifiedSeconds = 1_700_000_000;
const validators = { etag: '"5-3"', modifiedSeconds };
const at = (seconds: number) => new Date((modifiedSeconds + seconds) * 1000).toUTCString();

test.each([
  [{}, 'send'],
  [{ 'if-none-match': '"5-3"' }, 304],
  [{ 'if-none-match': 'W/"5-3"' }, 304],
  [{ 'if-none-match': '"a", "5-3"' }, 304],
  [{ 'if-none-match': '*' }, 304],
  [{ 'if-none-match': '"other"' }, 'send'],
  [{ 'if-none-match': '"other"', 'if-modified-since': at(0) }, 'send'],
  [{ 'if-modified-since': at(0) }, 304],
  [{ 'if-modified-since': at(10) }, 304],
  [{ 'if-modified-since': at(-1) }, 'send'],
  [{ 'if-modified-since': 'yesterday or so' }, 'send'],
  [{ 'if-match': '"5-3"' }, 'send'],
  [{ 'if-match': '*' }, 'send'],
  [{ 'if-match': 'W/"5-3"' }, 412],
  [{ 'if-match': '"other"' }, 412],
  [{ 'if-match': '"5-3"', 'if-unmodified-since': at(-10) }, 'send'],
  [{ 'if-unmodified-since': at(0) }, 'send'],
  [{ 'if-unmodified-since': at(-1) }, 412],
  [{ 'if-match': '"5-3"', 'if-none-match': '"5-3"' }, 304],
])('%o', (headers, expected) => {
  expect(evaluateConditions(headers, validators)).toBe(expected);
});

test.each([
  [undefined, true],
  ['"5-3"', true],
  ['W/"5-3"', false],
  ['"other"', false],
  [at(0), true],
  [at(1), false],
  ['nonsense', false],
])('If-Range %s', (ifRange, expected) => {
  expect(rangeApplies(ifRange, validators)).toBe(expected);
});
