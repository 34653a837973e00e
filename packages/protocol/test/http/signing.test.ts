/** Goal: a signature allows exactly what was signed. Method: sign, change one thing, verify. */
import { describe, expect, test } from 'vitest';
import { signPath, verifySignature } from '../../src/index.ts';

const path = '/dev1/0/000/000/0000000001.fid';
const signed = signPath({ secret: 'one', method: 'GET', path, expires: 1000 });
const query = signed.slice(path.length + 1);
const right = { secrets: ['one'], method: 'GET', path, query, nowSeconds: 999 };

describe('verifySignature', () => {
  test.each([
    ['as signed', {}, 'valid'],
    ['a HEAD', { method: 'HEAD' }, 'valid'],
    ['a second secret', { secrets: ['two', 'one'] }, 'valid'],
    ['later', { nowSeconds: 1000 }, 'expired'],
    ['another method', { method: 'PUT' }, 'wrong'],
    ['another path', { path: `${path}2` }, 'wrong'],
    ['another secret', { secrets: ['two'] }, 'wrong'],
    ['no secret', { secrets: [] }, 'wrong'],
    ['a longer time', { query: query.replace('e=1000', 'e=2000') }, 'wrong'],
    ['a time that is none', { query: query.replace('e=1000', 'e=x') }, 'wrong'],
    ['a shorter signature', { query: query.slice(0, -1) }, 'wrong'],
    ['no query', { query: '' }, 'unsigned'],
    ['no signature', { query: 'e=1000' }, 'unsigned'],
    ['other arguments besides', { query: `a=b&${query}` }, 'valid'],
  ])('%s', (_, change, verdict) => {
    expect(verifySignature({ ...right, ...change })).toBe(verdict);
  });
});
