/** Goal: no bytes end the node, leave a file where none was asked for, read one outside or keep a
 *  descriptor. Method: requests put together from parts that have hurt servers, cut and mutated,
 *  from a seed that a failure names; honest requests work in between and afterwards. */
import { randomInt } from 'node:crypto';
import { readdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { ask, createDocroot, openFilesBelow, put, startNode, Wire } from './helpers.ts';

const secret = 'nobody-may-read-this';
const requests = 1500;
const atOnce = 25;

const methods = [
  'GET',
  'HEAD',
  'PUT',
  'DELETE',
  'MKCOL',
  'POST',
  'OPTIONS',
  'PATCH',
  'get',
  '',
  '\0',
];
const targets = [
  '/dev1/f',
  '/dev1/link',
  '/dev1/dir/private',
  '/dev1/../private',
  '/private',
  '/dev1/%2e%2e/private',
  '/dev1/..%2fprivate',
  '//private',
  '/dev1//../private',
  '/.omgfs-node.json',
  '/dev1/.tmp/x',
  '/dev1',
  '/dev1/.omgfs/scrub',
  '/dev01/f',
  '/dev1/\xff\xfe',
  '/dev1/%',
  '/dev1/%00',
  '/fid/1',
  '/fid/-1',
  'http://x/dev1/f',
  'http:///private',
  '*',
  '',
  `/dev1/${'a'.repeat(5000)}`,
  '/dev1/%2e/private',
  '/dev1/f%2f..%2f..%2fprivate',
  '/dev999999999/x',
  '/dev1;/f',
  '/dev1/f?x=../private',
  '/dev1/usage',
];
const headers = [
  'Content-Length: 3',
  'Content-Length: -1',
  'Content-Length: 99999999999999999999',
  'Host: x',
  'Transfer-Encoding: chunked',
  'Transfer-Encoding: identity',
  'Expect: 100-continue',
  'Range: bytes=-',
  'Range: bytes=0-0,1-1,-1',
  'Range: bytes=9999999999999999-',
  'Range: bytes=0-99999999999999999999999',
  'Content-MD5: AAAA',
  'Content-Digest: sha-256=::',
  'Want-Content-Digest: sha-256=99999',
  'If-Range: W/"x"',
  'If-None-Match: *',
  'If-Modified-Since: never',
  'Connection: close',
  'Upgrade: h2c',
  'Connection: upgrade',
  'Content-Range: bytes 0-1/2',
  'X\0: y',
  ': empty',
  `X: ${'y'.repeat(20_000)}`,
];
const bodies = [
  '',
  'abc',
  '3\r\nabc\r\n0\r\n\r\n',
  'zz\r\n',
  '\0\0\0',
  'GET /dev1/f HTTP/1.1\r\n\r\n',
];

/** Numbers from a seed, so that a failure can be seen again (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let bits = Math.imul(state ^ (state >>> 15), state | 1);
    bits ^= bits + Math.imul(bits ^ (bits >>> 7), bits | 61);
    return ((bits ^ (bits >>> 14)) >>> 0) % below;
  };
}

function compose(below: (limit: number) => number): string {
  const one = (list: readonly string[]) => list[below(list.length)] ?? '';
  const count = below(4);
  const lines = Array.from({ length: count }, () => `${one(headers)}\r\n`).join('');
  const version = one(['HTTP/1.1', 'HTTP/1.1', 'HTTP/1.1', 'HTTP/1.0', 'HTTP/2.0', '']);
  const text = `${one(methods)} ${one(targets)} ${version}\r\n${lines}\r\n${one(bodies)}`;
  const cut = below(5) === 0 ? text.slice(0, below(text.length + 1)) : text;
  if (below(4) !== 0) return cut;
  const at = below(cut.length + 1);
  return cut.slice(0, at) + String.fromCharCode(below(256)) + cut.slice(at + 1);
}

test('a fuzz run ends nothing, leaves nothing and shows nothing', async () => {
  const docroot = await createDocroot(1);
  await writeFile(join(docroot, 'private'), secret);
  await symlink(join(docroot, 'private'), join(docroot, 'dev1', 'link'));
  await symlink(docroot, join(docroot, 'dev1', 'dir'));
  const { url, port } = await startNode({ docroot, stallMs: 2000 });
  await put(`${url}/dev1/f`, 'content');
  const seed = randomInt(2 ** 31);
  const below = random(seed);
  for (let done = 0; done < requests; done += atOnce) {
    const wires = Array.from({ length: atOnce }, () => {
      const text = compose(below);
      const wire = new Wire(port).send(text);
      wire.socket.end();
      return { text, wire };
    });
    for (const { text, wire } of wires) {
      const all = await wire.untilClosed();
      const context = `seed ${seed}: ${JSON.stringify(text.slice(0, 300))}`;
      expect(all.includes(secret), context).toBe(false);
      expect(all === '' || /^HTTP\/1\.1 [1-5]\d\d /.test(all), context).toBe(true);
      // A 5xx is for what is wrong with the node: a device, or an impossible amount.
      expect(/^HTTP\/1\.1 50[^37]/.test(all), context).toBe(false);
    }
    const again = await put(`${url}/dev1/honest`, 'content');
    expect([seed, again.status]).toEqual([seed, 200]);
  }
  expect((await ask(`${url}/dev1/honest`)).text).toBe('content');
  await until('no file is open', () => openFilesBelow(docroot) === 0);
  await until('no temporary file is left', async () => {
    return (await readdir(join(docroot, 'dev1/.tmp'))).length === 0;
  });
  expect((await readdir(docroot)).sort()).toEqual(['.omgfs-node.json', 'dev1', 'private']);
});
