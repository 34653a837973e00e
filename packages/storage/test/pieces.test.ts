/** Goal: a file that is sent in pieces is seen whole or not at all, and goes on after every kind of
 *  end: a cut connection, a killed node, a client that comes back too soon. Method: real nodes. */
import { createHash, randomBytes } from 'node:crypto';
import { readdir, readFile, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { fidPath } from '@omgfs/protocol';
import { describe, expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { Devices } from '../src/device/devices.ts';
import { Pieces } from '../src/pieces/pieces.ts';
import {
  type Answer,
  ask,
  createDocroot,
  launch,
  put,
  quiet,
  startNode,
  startWithNginx,
  Wire,
} from './helpers.ts';

const path = fidPath(1, 42);
const body = randomBytes(900_000);
const total = body.length;

function piece(
  url: string,
  [start, end]: [number, number],
  more: { headers?: Record<string, string>; of?: number | '*' } = {},
): Promise<Answer> {
  const range = `bytes ${start}-${end - 1}/${more.of ?? total}`;
  return put(url, body.subarray(start, end), { 'content-range': range, ...more.headers });
}

function question(url: string, of = total): Promise<Answer> {
  return put(url, '', { 'content-range': `bytes */${of}` });
}

const held = async (url: string) => (await question(url)).headers.range;

async function kept(docroot: string): Promise<string[]> {
  return await readdir(join(docroot, 'dev1/.omgfs/pieces')).catch(() => []);
}

// nginx would take a piece for the whole file.
describe.each([
  ['the node', startNode],
  ['nginx', startWithNginx],
] as const)('served by %s', (_server, start) => {
  test('I3: nothing is seen before the last piece, and then all of it', async () => {
    const { url, docroot } = await start();
    const file = url + path;
    expect((await question(file)).headers.range).toBeUndefined();
    const first = await piece(file, [0, 300_000]);
    expect([first.status, first.headers.range]).toEqual([308, 'bytes=0-299999']);
    expect((await ask(file)).status).toBe(404);
    expect((await piece(file, [300_000, 600_000])).status).toBe(308);
    expect(await held(file)).toBe('bytes=0-599999');
    expect((await piece(file, [600_000, total])).status).toBe(200);
    expect((await ask(file)).body.equals(body)).toBe(true);
    expect(await kept(docroot)).toEqual([]);
    // A file that is there is replaced in one step.
    expect((await piece(file, [0, 10], { of: 20 })).status).toBe(308);
    expect((await ask(file)).body.equals(body)).toBe(true);
    expect((await piece(file, [10, 20], { of: 20 })).status).toBe(200);
    expect((await ask(file)).body.equals(body.subarray(0, 20))).toBe(true);
  });

  test('what came before a cut is held, and the client goes on from there', async () => {
    const { url, port } = await start();
    const range = `Content-Range: bytes 0-${total - 1}/${total}\r\nContent-Length: ${total}`;
    const wire = new Wire(port).send(`PUT ${path} HTTP/1.1\r\nHost: x\r\n${range}\r\n\r\n`);
    wire.send(body.subarray(0, 200_000));
    await until('it came', async () => (await held(url + path)) === 'bytes=0-199999');
    wire.socket.destroy();
    expect((await piece(url + path, [200_000, total])).status).toBe(200);
    expect((await ask(url + path)).body.equals(body)).toBe(true);
  });

  test('a client that comes back before its cut was noticed takes its upload over', async () => {
    const { url, port } = await start();
    const range = `Content-Range: bytes 0-${total - 1}/${total}\r\nContent-Length: ${total}`;
    const stale = new Wire(port).send(`PUT ${path} HTTP/1.1\r\nHost: x\r\n${range}\r\n\r\n`);
    stale.send(body.subarray(0, 100_000));
    await until('it came', async () => (await held(url + path)) === 'bytes=0-99999');
    expect((await piece(url + path, [100_000, 500_000])).status).toBe(308);
    // nginx says that the node went away.
    expect(await stale.untilClosed()).toMatch(/^(?:HTTP\/1\.1 502 .*)?$/s);
    expect((await piece(url + path, [500_000, total])).status).toBe(200);
    expect((await ask(url + path)).body.equals(body)).toBe(true);
  });

  test('pieces that do not follow each other are refused with what is held', async () => {
    const { url } = await start();
    const file = url + path;
    const early = await piece(file, [10, 20]);
    expect([early.status, early.headers.range]).toEqual([416, undefined]);
    await piece(file, [0, 1000]);
    for (const wrong of [
      [500, 1500],
      [1001, 2000],
      [999, 1000],
    ] as [number, number][]) {
      const answer = await piece(file, wrong);
      expect([answer.status, answer.headers.range]).toEqual([416, 'bytes=0-999']);
    }
    expect(await held(file)).toBe('bytes=0-999');
    expect((await piece(file, [0, 10])).headers.range).toBe('bytes=0-9');
  });

  test('digests: of a piece, and of the whole file', async () => {
    const { url, docroot } = await start();
    const file = url + path;
    const md5 = (bytes: Buffer) => createHash('md5').update(bytes).digest('base64');
    const sha = (bytes: Buffer) => createHash('sha256').update(bytes).digest('base64');
    await piece(file, [0, 1000]);
    const wrong = { 'content-md5': md5(Buffer.from('other')) };
    expect((await piece(file, [1000, 2000], { headers: wrong })).status).toBe(400);
    expect(await held(file)).toBe('bytes=0-999');
    const right = { 'content-md5': md5(body.subarray(1000, 2000)) };
    expect((await piece(file, [1000, 2000], { headers: right })).status).toBe(308);
    const other = { 'repr-digest': `sha-256=:${sha(Buffer.from('other'))}:` };
    expect((await piece(file, [2000, total], { headers: other })).status).toBe(400);
    expect((await ask(file)).status).toBe(404);
    expect(await kept(docroot)).toEqual([]);
    const whole = { 'repr-digest': `sha-256=:${sha(body)}:` };
    await piece(file, [0, 2000]);
    expect((await piece(file, [2000, total], { headers: whole })).status).toBe(201);
    const asked = await ask(file, { method: 'HEAD', headers: { 'want-repr-digest': 'sha-256=1' } });
    expect(asked.headers['repr-digest']).toBe(whole['repr-digest']);
  });

  test('as the Perl client does it: a file grows and is edited in its place', async () => {
    const { url, port } = await start();
    const file = url + path;
    expect((await put(file, '')).status).toBe(200);
    expect((await piece(file, [0, 300_000], { of: '*' })).status).toBe(200);
    expect((await piece(file, [300_000, 700_000], { of: '*' })).status).toBe(200);
    const length = async () => (await ask(file, { method: 'HEAD' })).headers['content-length'];
    expect(await length()).toBe('700000');
    const edit = { 'content-range': 'bytes 10-12/*' };
    expect((await put(file, 'abc', edit)).status).toBe(200);
    const expected = Buffer.from(body.subarray(0, 700_000));
    expected.write('abc', 10);
    expect((await ask(file)).body.equals(expected)).toBe(true);
    const gap = await piece(file, [800_000, total], { of: '*' });
    expect([gap.status, gap.headers.range]).toEqual([416, 'bytes=0-699999']);
    // A piece that is cut changes nothing.
    const head = 'Content-Range: bytes 0-99999/*\r\nContent-Length: 100000';
    const wire = new Wire(port).send(`PUT ${path} HTTP/1.1\r\nHost: x\r\n${head}\r\n\r\n`);
    wire.send(Buffer.alloc(50_000));
    wire.socket.end();
    await wire.untilClosed();
    expect((await ask(file)).body.equals(expected)).toBe(true);
  });
});

test.each(['always', 'batch', 'never'])(
  'I1: pieces survive the death of the node: %s',
  async (sync) => {
    const docroot = await createDocroot(1);
    const options = ['--sync', sync, '--free-reserve-mb', '0'];
    const before = await launch(docroot, ...options);
    expect((await piece(before.url + path, [0, 400_000])).status).toBe(308);
    before.child.kill('SIGKILL');
    await until('it is dead', () => before.child.signalCode !== null);
    const after = await launch(docroot, ...options);
    expect((await ask(after.url + path)).status).toBe(404);
    expect(await held(after.url + path)).toBe('bytes=0-399999');
    expect((await piece(after.url + path, [400_000, total])).status).toBe(200);
    expect((await ask(after.url + path)).body.equals(body)).toBe(true);
  },
);

test.each([
  ['bytes 5-4/10', ''],
  ['bytes 0-10/10', 'x'.repeat(11)],
  ['bytes 0-4/10', 'abc'],
  ['bytes 0-1/10', 'abc'],
  ['bytes */10', 'abc'],
  ['bytes */*', ''],
  ['bytes 0-2', 'abc'],
  ['bytes -2/10', 'abc'],
  ['items 0-2/10', 'abc'],
  ['bytes 0-99999999999999999999/*', 'abc'],
])('%s is malformed', async (range, text) => {
  const { url } = await startNode();
  expect((await put(url + path, text, { 'content-range': range })).status).toBe(400);
  expect((await ask(url + path)).status).toBe(404);
});

test('a file for which there is no room is refused at its first piece', async () => {
  const { url, docroot } = await startNode();
  const range = { 'content-range': `bytes 0-2/${2 ** 48}` };
  expect((await put(url + path, 'abc', range)).status).toBe(507);
  expect(await kept(docroot)).toEqual([]);
});

test('what nobody goes on with is removed after its time, and nothing else', async () => {
  const { url, docroot, node } = await startNode();
  await piece(url + path, [0, 1000]);
  await piece(`${url}/dev1/other`, [0, 1000]);
  await node.close();
  const names = (await kept(docroot)).sort();
  expect(names).toHaveLength(2);
  const old = join(docroot, 'dev1/.omgfs/pieces', names[0] ?? '');
  await utimes(old, 1e9, 1e9);
  const common = { threads: 16, reserveBytes: 0, adopt: [], log: quiet };
  const devices = await Devices.open({ docroot, sync: 'never' as const, ...common });
  await new Pieces({ devices, keepMs: 3_600_000, log: quiet }).sweep();
  await devices.close();
  expect(await kept(docroot)).toEqual([names[1]]);
  const left = await readFile(join(docroot, 'dev1/.omgfs/pieces', names[1] ?? ''));
  expect(left).toHaveLength(1000);
});
