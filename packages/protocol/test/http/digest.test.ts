/** Goal: announced digests are checked, malformed ones refused. Method: real hashes. */
import { createHash } from 'node:crypto';
import { expect, test } from 'vitest';
import { digestCheckOf } from '../../src/http/digest.ts';

const body = Buffer.from('hello');
const hash = (algorithm: string) => createHash(algorithm).update(body).digest('base64');

const good = [
  { 'content-md5': hash('md5') },
  { 'content-digest': `sha-256=:${hash('sha256')}:` },
  { 'content-digest': `sha-512=:${hash('sha512')}:, md5=:${hash('md5')}:` },
];

test.each(good)('%o is verified over pieces', (headers) => {
  const check = digestCheckOf(headers);
  check?.update(body.subarray(0, 2));
  check?.update(body.subarray(2));
  expect(check).toBeDefined();
  expect(() => check?.verify()).not.toThrow();
});

test.each(good)('%o does not fit another body', (headers) => {
  const check = digestCheckOf(headers);
  check?.update(Buffer.from('hellO'));
  expect(() => check?.verify()).toThrow(/but .* was announced/);
});

test.each([
  { 'content-md5': 'short' },
  { 'content-md5': createHash('md5').digest('hex') },
  { 'content-digest': 'sha-256=nonsense' },
  { 'content-digest': `sha-256=:${hash('md5')}:` },
  { 'content-digest': '' },
])('%o is refused as malformed', (headers) => {
  expect(() => digestCheckOf(headers)).toThrow(/is not a digest/);
});

test('what is not announced or not known is not checked', () => {
  expect(digestCheckOf({})).toBeUndefined();
  expect(digestCheckOf({ 'content-digest': 'unixsum=:AAA=:' })).toBeUndefined();
});
