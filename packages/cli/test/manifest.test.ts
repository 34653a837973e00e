/**
 * Goal: a manifest is read back as it was written, and none can name a file that is not its key's.
 */
import { describe, expect, test } from 'vitest';
import {
  entryLine,
  hashedName,
  headLine,
  parseManifestLine,
  plainName,
} from '../src/migrate/archive/manifest.ts';

const checksum = { type: 'MD5', hex: '0'.repeat(32) } as const;
const rest = { class: 'default', fid: 7, length: 3, checksum };
const good = entryLine({ ...rest, key: 'a/b', file: 'files/a/b' });

describe('names', () => {
  test.each([
    ['a/b', 'files/a/b'],
    ['..a', 'files/..a'],
    ['\\..\\b', 'files/\\..\\b'],
    ['.', undefined],
    ['a/../b', undefined],
    ['/a', undefined],
    ['a//b', undefined],
    ['a/', undefined],
    ['a\0', undefined],
    ['\xff', undefined],
  ])('of %j is %j', (key, name) => {
    expect(plainName(key)).toBe(name);
    expect(hashedName(key)).toMatch(/^keys\/[0-9a-f]{2}\/[0-9a-f]{64}$/);
  });
});

describe('lines', () => {
  test('come back as they were', () => {
    for (const key of ['a/b', '\xff\0\n', '\xc3\xbc', '\xe2\x80\xa8']) {
      const entry = { ...rest, key, file: hashedName(key) };
      const line = entryLine(entry);
      expect(line).not.toContain('\n');
      expect(parseManifestLine(line, 'm')).toEqual({ kind: 'entry', entry });
    }
    const classes = [{ name: 'c', mindevcount: 2, replpolicy: 'MultipleHosts()', hashtype: null }];
    const head = { domain: 'd', prefix: 'p', classes };
    expect(parseManifestLine(headLine(head), 'm')).toEqual({ kind: 'head', head });
  });

  test.each([
    ['files/a/b', '../secret', 'names a file that is not its own: "../secret"'],
    ['files/a/b', '/etc/passwd', 'names a file that is not its own'],
    ['files/a/b', 'files/a/c', 'names a file that is not its own'],
    ['"key":"a/b"', '"keyHex":"zz"', 'there is no key'],
    ['"key":"a/b"', '"key":"a/b","keyHex":"61"', 'there is no key'],
    ['"length":3', '"length":-1', 'lacks class, fid or length'],
    ['"fid":7', '"fid":1e99', 'lacks class, fid or length'],
    ['MD5:', 'MD9:', 'has no checksum'],
    ['{', '[', 'it is no JSON object'],
  ])('with %j as %j are refused', (from, to, why) => {
    const line = good.replace(from, to);
    expect(line).not.toBe(good);
    expect(() => parseManifestLine(line, 'm, line 2')).toThrow(`m, line 2: `);
    expect(() => parseManifestLine(line, 'm, line 2')).toThrow(why);
  });

  test('of a newer format are refused', () => {
    const head = headLine({ domain: 'd', prefix: '', classes: [] });
    const newer = head.replace('"version":1', '"version":2');
    expect(() => parseManifestLine(newer, 'm')).toThrow('its format 2 is newer than this omgfs');
  });
});
