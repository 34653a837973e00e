/** Goal: only requests that every parser reads alike are taken for plain. Method: a table of heads;
 *  whatever node:http's parser refuses or treats in a way of its own must not be plain. */
import { expect, test } from 'vitest';
import { PlainReader } from '../../src/http/plain.ts';

const read = (text: string) => new PlainReader().read(Buffer.from(text, 'latin1'));

test.each([
  'GET /dev1/0/000/000/0000000001.fid HTTP/1.1\r\n\r\n',
  'HEAD / HTTP/1.1\r\nHost: a:7500\r\nConnection: Keep-Alive\r\n\r\n',
  'GET /dev1/a%20b?x=1&y=2 HTTP/1.1\r\nRange: bytes=0-1\r\nAccept:*/*\r\nX-Empty:\r\n\r\n',
  'DELETE /dev1/x HTTP/1.1\r\nUser-Agent: a b (c; d) "e"\r\n\r\n',
  'PUT /dev1/x HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
])('plain: %j', (text) => {
  const head = read(`${text}more`);
  expect(head).toMatchObject({ method: text.split(' ')[0], target: text.split(' ')[1] });
  expect(head?.bytes).toBe(text.length);
});

const get = 'GET /dev1/x HTTP/1.1\r\n';
test.each([
  '',
  'GET /dev1/x HTTP/1.1',
  `${get}Host: a\r\n`,
  `${get}Host: a\r\n\r`,
  'GET /dev1/x HTTP/1.0\r\n\r\n',
  'GET /dev1/x HTTP/1.2\r\n\r\n',
  'GET  /dev1/x HTTP/1.1\r\n\r\n',
  'GET /dev1/x  HTTP/1.1\r\n\r\n',
  'GET /dev1/x HTTP/1.1 \r\n\r\n',
  ' GET /dev1/x HTTP/1.1\r\n\r\n',
  '\r\nGET /dev1/x HTTP/1.1\r\n\r\n',
  'get /dev1/x HTTP/1.1\r\n\r\n',
  'GET dev1/x HTTP/1.1\r\n\r\n',
  'GET http://a/dev1/x HTTP/1.1\r\n\r\n',
  'GET /dev1/x#y HTTP/1.1\r\n\r\n',
  'GET /dev1/"x" HTTP/1.1\r\n\r\n',
  'GET /dev1/\\x HTTP/1.1\r\n\r\n',
  'GET /dev1/\xe4 HTTP/1.1\r\n\r\n',
  'GET /dev1/\x00 HTTP/1.1\r\n\r\n',
  'GET /dev1/x\nHost: a HTTP/1.1\r\n\r\n',
  'POST /dev1/x HTTP/1.1\r\nContent-Length: 0\r\n\r\n',
  'MKCOL /dev1/x HTTP/1.1\r\n\r\n',
  `${get}Host: a\r\nHost: b\r\n\r\n`,
  `${get}Host: a\nX: b\r\n\r\n`,
  `${get}Host: a\rX: b\r\n\r\n`,
  `${get}Host : a\r\n\r\n`,
  `${get} Host: a\r\n\r\n`,
  `${get}X: a\r\n b\r\n\r\n`,
  `${get}X: a\r\n\tb\r\n\r\n`,
  `${get}X: a \r\n\r\n`,
  `${get}X:  a\r\n\r\n`,
  `${get}X: a\tb\r\n\r\n`,
  `${get}X: \xe4\r\n\r\n`,
  `${get}X: a\x00b\r\n\r\n`,
  `${get}X\r\n\r\n`,
  `${get}: a\r\n\r\n`,
  `${get}X_y: a\r\n\r\n`,
  `${get}__proto__: a\r\n\r\n`,
  `${get}Connection: close\r\n\r\n`,
  `${get}Connection: keep-alive, close\r\n\r\n`,
  `${get}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`,
  `${get}Upgrade: h2c\r\n\r\n`,
  `${get}Expect: 100-continue\r\n\r\n`,
  `${get}TE: trailers\r\n\r\n`,
  `${get}Trailer: X\r\n\r\n`,
  `${get}Transfer-Encoding: chunked\r\n\r\n`,
  `${get}Content-Length: 0\r\n\r\n`,
  `${get}Content-Length: 1\r\n\r\na`,
  `${get}X: ${'a'.repeat(5000)}\r\n\r\n`,
  'PUT /dev1/x HTTP/1.1\r\n\r\n',
  'PUT /dev1/x HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na',
  'PUT /dev1/x HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\na',
  'PUT /dev1/x HTTP/1.1\r\nContent-Length: 1\r\nContent-Range: bytes 0-0/2\r\n\r\na',
  ...['', '+1', '-1', '01', '0x1', '1x', '1 1', '1,1', '1.0', '9999999999'].map(
    (length) => `PUT /dev1/x HTTP/1.1\r\nContent-Length: ${length}\r\n\r\na`,
  ),
])('not plain: %j', (text) => {
  expect(read(text)).toBeUndefined();
});

test('what one request on a connection had is not taken for what the next one has', () => {
  const reader = new PlainReader();
  const put = (headers: string) =>
    reader.read(Buffer.from(`PUT /dev1/x HTTP/1.1\r\n${headers}\r\n\r\n`));
  expect(put('Content-Length: 1')?.bodyBytes).toBe(1);
  expect(put('Content-Length: 2')?.bodyBytes).toBe(2);
  expect(put('Content-Length: 2\r\nExpect: x')).toBeUndefined();
  expect(put('Content-Length: 2\r\nExpect: x')).toBeUndefined();
  expect(put('Content-Length: 2')?.headers).toEqual({ 'content-length': '2' });
});
