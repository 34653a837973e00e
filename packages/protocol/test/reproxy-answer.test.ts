import { describe, expect, test } from 'vitest';
import { contentDisposition, preferNetworks, reproxyAnswer } from '../src/index.ts';

const paths = [1, 2, 3].map((n) => `http://10.${n}.0.1:7500/dev${n}/0/000/000/0000000005.fid`);

test('what the application knows of a file stands beside the addresses', () => {
  const answer = reproxyAnswer(paths, {
    shape: 'perlbal',
    contentType: 'image/png',
    filename: 'cat.png',
    cacheControl: 'max-age=60',
    etag: '5-12',
    lastModified: new Date(0),
    sizeBytes: 12,
  });
  expect(answer).toEqual({
    status: 200,
    headers: {
      'X-REPROXY-URL': paths.join(' '),
      'X-REPROXY-EXPECTED-SIZE': '12',
      'Content-Type': 'image/png',
      'Content-Disposition': 'attachment; filename="cat.png"',
      'Content-Length': '0',
      'Last-Modified': 'Thu, 01 Jan 1970 00:00:00 GMT',
      'Cache-Control': 'max-age=60',
      ETag: '"5-12"',
    },
  });
});

test('a redirect is not described as if it were the file, nor remembered', () => {
  const options = { shape: 'redirect', cacheControl: 'max-age=60', etag: 'x' } as const;
  expect(reproxyAnswer(paths, options)).toEqual({
    status: 302,
    headers: { Location: paths[0], 'Cache-Control': 'no-store' },
  });
});

describe('a condition that names the tag is a 304 without addresses', () => {
  test.each(['"a"', 'W/"a"', '"b", "a"', '*'])('%s', (ifNoneMatch) => {
    const answer = reproxyAnswer(paths, { shape: 'nginx', etag: 'a', ifNoneMatch });
    expect(answer).toEqual({ status: 304, headers: { ETag: '"a"' } });
  });
  test.each(['"b"', 'a', '', '"ab"'])('but not %j', (ifNoneMatch) => {
    expect(reproxyAnswer(paths, { shape: 'nginx', etag: 'a', ifNoneMatch }).status).toBe(200);
  });
});

test.each([
  { contentType: 'a\r\nSet-Cookie: x' },
  { cacheControl: 'a\n' },
  { contentType: 'b\u00e4h' },
  { etag: 'two words' },
  { etag: '"open' },
  { preferredNetworks: ['10.0.0.0/33'] },
  { preferredNetworks: ['ten'] },
])('%j is refused', (options) => {
  expect(() => reproxyAnswer(paths, { shape: 'nginx', ...options })).toThrow(
    expect.objectContaining({ code: 'BAD_ARGS' }),
  );
});

test('replicas of preferred networks come first, in the order of the networks', () => {
  const [one, two, three] = paths;
  expect(preferNetworks(paths, ['10.3.0.0/16', '10.2.0.0/16'])).toEqual([three, two, one]);
  expect(preferNetworks(paths, ['10.2.0.1'])).toEqual([two, one, three]);
  expect(preferNetworks(paths, ['192.168.0.0/16'])).toEqual(paths);
  const named = ['http://node/dev1/x.fid', ...paths];
  expect(preferNetworks(named, ['10.0.0.0/8'])).toEqual([...paths, 'http://node/dev1/x.fid']);
});

test.each([
  ['plain.txt', 'inline; filename="plain.txt"'],
  ['two words.txt', 'inline; filename="two words.txt"'],
  ['naïve.txt', `inline; filename="naive.txt"; filename*=UTF-8''na%C3%AFve.txt`],
  ['€ rates', `inline; filename="_ rates"; filename*=UTF-8''%E2%82%AC%20rates`],
  ['a"b', `inline; filename="a_b"; filename*=UTF-8''a%22b`],
  ['50%41', `inline; filename="50_41"; filename*=UTF-8''50%2541`],
  [`ü'()*`, `inline; filename="u'()*"; filename*=UTF-8''%C3%BC%27%28%29%2A`],
  ['../../etc/passwd', 'inline; filename=".._.._etc_passwd"'],
  ['a\r\nSet-Cookie: x', 'inline; filename="a__Set-Cookie: x"'],
  ['half \ud800', `inline; filename="half _"; filename*=UTF-8''half%20%EF%BF%BD`],
])('the file name %j', (name, header) => {
  expect(contentDisposition('inline', name)).toBe(header);
});
