import { describe, expect, test } from 'vitest';
import {
  decodeArgs,
  decodeReply,
  decodeRequest,
  encodeError,
  encodeOk,
  encodeRequest,
  encodeText,
  fromByteString,
  toByteString,
} from '../src/index.ts';

const plain = (fields: object) => ({ ...fields });

describe('decodeRequest', () => {
  test.each([
    ['noop', 'noop', {}],
    ['NOOP a=1', 'noop', { a: '1' }],
    ['  noop   a=1', 'noop', { a: '1' }],
    ['noop\t', 'noop', {}],
    ['noop=x', 'noop', { '': 'x' }],
    ['get_paths&domain=a', 'get_paths', { domain: 'a' }],
    ['noop?x=1', 'noop', { '?x': '1' }],
    ['%%%', '', { '%%%': '' }],
    ['', '', {}],
    ['\0noop', '', { '\0noop': '' }],
    ['héllo a=1', 'h', { 'éllo a': '1' }],
  ])('%j is command %j', (line, command, args) => {
    const request = decodeRequest(line);
    expect(request.command).toBe(command);
    expect(plain(request.args)).toEqual(args);
  });
});

describe('decodeArgs', () => {
  test.each([
    ['a=b=c', { a: 'b' }],
    ['a', { a: '' }],
    ['a=', { a: '' }],
    ['=b', { '': 'b' }],
    ['&&a=1&0&', { a: '1' }],
    ['a=0&a=1', { a: '01' }],
    ['a=1&a=2', { a: '1\x002' }],
    ['a=%zz&b=%&c=%4', { a: '%zz', b: '%', c: '%4' }],
    ['a=x+y%2Bz%2b', { a: 'x y+z+' }],
    ['d%6fmain=x', { domain: 'x' }],
    ['__proto__=x&constructor=y', { ['__proto__']: 'x', constructor: 'y' }],
  ])('%j', (text, args) => {
    expect(Object.entries(decodeArgs(text))).toEqual(Object.entries(args));
  });
});

describe('encoding', () => {
  test('leaves exactly the bytes bare that the original leaves bare', () => {
    let all = '';
    for (let byte = 0; byte < 256; byte += 1) all += String.fromCharCode(byte);
    const bare = encodeText(all).replace(/%[0-9A-F]{2}/g, '');
    expect(bare).toBe('+,-./0123456789:ABCDEFGHIJKLMNOPQRSTUVWXYZ\\_abcdefghijklmnopqrstuvwxyz');
  });

  test('every byte string survives the way to the other side', () => {
    let all = '';
    for (let byte = 0; byte < 256; byte += 1) all += String.fromCharCode(byte);
    const request = decodeRequest(encodeRequest('noop', { key: all }).trimEnd());
    expect(request.args.key).toBe(all);
  });

  test('text travels as UTF-8', () => {
    expect(fromByteString(toByteString('Grüße 🎈'))).toBe('Grüße 🎈');
    expect(toByteString('plain')).toBe('plain');
  });

  test('success without fields keeps its blank', () => {
    expect(encodeOk({})).toBe('OK \r\n');
    expect(encodeOk({ a: null, b: undefined, c: 1 })).toBe('OK a=&b=&c=1\r\n');
  });

  test('an error always carries code and text', () => {
    expect(encodeError({ code: 'no_domain', text: 'No domain provided' })).toBe(
      'ERR no_domain No+domain+provided\r\n',
    );
    expect(encodeError({ code: 'dup', text: 'dup', callid: 'a b' })).toBe('ERR dup dup a+b\r\n');
  });
});

describe('decodeReply', () => {
  test.each([
    ['OK ', { ok: true, fields: {} }],
    ['OK', { ok: true, fields: {} }],
    ['OK12 a=1', { ok: true, fields: { a: '1' } }],
    ['ERR no_key no_key', { ok: false, code: 'no_key', text: 'no_key', callid: undefined }],
    ['ERR dup a+b c%20d', { ok: false, code: 'dup', text: 'a b', callid: 'c d' }],
  ])('%j', (line, reply) => {
    const seen = decodeReply(line);
    expect(seen?.ok === true ? { ok: true, fields: plain(seen.fields) } : seen).toEqual(reply);
  });

  test.each(['', 'ERR', 'HTTP/1.1 400 Bad Request', 'OKAY'])('%j is no reply', (line) => {
    expect(decodeReply(line)).toBeUndefined();
  });
});
