import { expect, test } from 'vitest';
import { reproxyHeaders } from '../src/index.ts';

const paths = [1, 2, 3, 4].map((n) => `http://10.0.0.${n}:7500/dev${n}/0/000/000/0000000005.fid`);

test('nginx gets an internal location and at most three URLs', () => {
  expect(reproxyHeaders(paths, { shape: 'nginx' })).toEqual({
    'X-Accel-Redirect': '/reproxy',
    'X-Reproxy-URL': paths.slice(0, 3).join(' '),
  });
  const moved = reproxyHeaders(paths, { shape: 'nginx', location: '/internal' });
  expect(moved['X-Accel-Redirect']).toBe('/internal');
});

test('nginx learns how long and for whom it may keep the answer', () => {
  const kept = (options: object) => {
    const headers = reproxyHeaders(paths, { shape: 'nginx', ...options });
    return [headers['X-Accel-Expires'], headers['X-Reproxy-For']];
  };
  expect(kept({ cacheSeconds: 10 })).toEqual(['10', 'user']);
  expect(kept({ cacheSeconds: 10, cacheFor: 'everyone' })).toEqual(['10', 'everyone']);
  expect(kept({ cacheFor: 'everyone' })).toEqual([undefined, undefined]);
});

test('Perlbal, which tells no users apart, remembers nothing for one', () => {
  const options = { shape: 'perlbal', cacheSeconds: 60, cacheFor: 'user' } as const;
  expect(reproxyHeaders(paths, options)).toEqual({ 'X-REPROXY-URL': paths.join(' ') });
});

test('Perlbal gets all URLs, the size and the time to remember', () => {
  const headers = reproxyHeaders(paths, { shape: 'perlbal', sizeBytes: 12, cacheSeconds: 60 });
  expect(headers).toEqual({
    'X-REPROXY-URL': paths.join(' '),
    'X-REPROXY-EXPECTED-SIZE': '12',
    'X-REPROXY-CACHE-FOR': '60; Content-Type Last-Modified',
  });
});

test('single and redirect name one URL', () => {
  expect(reproxyHeaders(paths, { shape: 'single' })).toEqual({ 'X-Reproxy-URL': paths[0] });
  expect(reproxyHeaders(paths, { shape: 'redirect' })).toEqual({ Location: paths[0] });
});

test('a file without a path is an error, not an empty header', () => {
  expect(() => reproxyHeaders([], { shape: 'nginx' })).toThrow(
    expect.objectContaining({ code: 'NO_REPLICA_UP' }),
  );
});

test.each([
  'http://10.0.0.1:7500/a b',
  'http://10.0.0.1:7500/a\r\nSet-Cookie: x',
  'https://10.0.0.1/a',
  'http://user@10.0.0.1/a',
  'file:///etc/passwd',
  '/etc/passwd',
  '',
])('%j is refused', (url) => {
  expect(() => reproxyHeaders([url], { shape: 'nginx' })).toThrow(
    expect.objectContaining({ code: 'BAD_ARGS' }),
  );
});
