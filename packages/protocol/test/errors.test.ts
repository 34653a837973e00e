/** The table of errors and its documentation say the same, in both directions. */
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  type ErrorCode,
  type ErrorFacts,
  errorFromWire,
  errorTable,
  OmgfsError,
  toOmgfsError,
  wireError,
} from '../src/index.ts';

const codes = Object.keys(errorTable) as ErrorCode[];

describe('docs/reference/errors.md', () => {
  const page = readFileSync(new URL('../../../docs/reference/errors.md', import.meta.url), 'utf8');
  const rows = new Map(
    [...page.matchAll(/^\| ([A-Z][A-Z0-9_]+) \| `(\w+)` \| (\d+) \| (\w+) \| (.+) \|$/gm)].map(
      ([, code, wire, status, retry, message]) => [code, { wire, status, retry, message }],
    ),
  );

  test.each(codes)('%s is documented as it is', (code) => {
    const { wire, status, retry, message }: ErrorFacts = errorTable[code];
    expect(rows.get(code)).toEqual({ wire, status: String(status), retry, message });
  });

  test('nothing is documented that does not exist', () => {
    expect([...rows.keys()].filter((code) => !codes.includes(code as ErrorCode))).toEqual([]);
  });
});

describe('on the wire', () => {
  test('codes without a canned text send the word twice, which clients compare', () => {
    expect(wireError(new OmgfsError('UNKNOWN_KEY'))).toEqual({
      code: 'unknown_key',
      text: 'unknown_key',
    });
  });

  test('a text of its own replaces the canned one', () => {
    const error = new OmgfsError('SIZE_MISMATCH', { wireText: 'Expected: 5; actual: 3' });
    expect(wireError(error).text).toBe('Expected: 5; actual: 3');
  });

  test('a client gets back the code that the tracker meant', () => {
    for (const code of codes.filter((name) => errorTable[name].wire !== 'failure')) {
      const back = errorFromWire(wireError(new OmgfsError(code)));
      expect(errorTable[back.code].wire).toBe(errorTable[code].wire);
    }
  });

  test('a word that nobody knows is a failure that keeps the word', () => {
    const error = errorFromWire({ code: 'brand_new', text: 'something' });
    expect(error).toMatchObject({ code: 'FAILURE', details: { wire: 'brand_new' } });
    expect(error.message).toContain('brand_new');
  });

  test('what a tracker says is repeated only when it says more than the code', () => {
    const plain = errorFromWire({ code: 'unknown_key', text: 'unknown_key' });
    expect(plain.message).toBe(errorTable.UNKNOWN_KEY.message);
    const more = errorFromWire({ code: 'size_mismatch', text: 'Expected: 5; actual: 3' });
    expect(more.message).toContain('Expected: 5; actual: 3');
  });

  test('trouble with the database of a Perl tracker is not taken for a long key', () => {
    expect(errorFromWire({ code: 'db', text: 'db' }).code).toBe('FAILURE');
    expect(errorFromWire({ code: 'db', text: 'Key is longer than 255 bytes' }).code).toBe(
      'KEY_TOO_LONG',
    );
  });
});

test('any thrown value becomes an OmgfsError with its cause', () => {
  const cause = new TypeError('odd');
  expect(toOmgfsError(cause)).toMatchObject({ code: 'FAILURE', message: 'odd', cause });
  expect(toOmgfsError('text').message).toBe('text');
  const known = new OmgfsError('NO_KEY');
  expect(toOmgfsError(known)).toBe(known);
});
