/** Goal: a PUT that is stored without a wait is answered and kept like any other, and nothing that
 *  needs a closer look is stored so. Method: a device with its thread running, and plain heads. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { Devices } from '../src/device/devices.ts';
import { storeWhole } from '../src/device/writer.ts';
import { putNow } from '../src/handlers/put.ts';
import { type PlainHead, PlainReader } from '../src/http/plain.ts';
import { createDocroot, put, quiet, startNode, Wire } from './helpers.ts';

function headOf(target: string, headers = ''): PlainHead {
  const text = `PUT ${target} HTTP/1.1\r\nContent-Length: 4\r\n${headers}\r\n`;
  const head = new PlainReader().read(Buffer.from(text));
  if (head === undefined) throw new Error(`it is not plain: ${text}`);
  return head;
}

test('only what needs no closer look is stored without a wait', async () => {
  const docroot = await createDocroot(1);
  const limits = { threads: 16, reserveBytes: 0, adopt: [] };
  const devices = await Devices.open({ docroot, sync: 'never', ...limits, log: quiet });
  onTestFinished(() => devices.close());
  const device = await devices.find(1);
  await storeWhole(device, 'a/known', Buffer.from('1'));
  for (let asked = 0; asked < 64; asked += 1) device.smallFiles.thread(1);
  await until('the thread is ready', () => device.smallFiles.thread(1));
  const body = Buffer.from('body');
  const { socket } = new Wire(0);
  socket.on('error', () => {});
  const begin = (head: PlainHead, done: (answer: Buffer | undefined) => void = () => {}) =>
    putNow({ devices }, { head, body, socket }, done);
  await device.look();
  for (const [target, headers] of [
    ['/dev1/a/f', 'Content-MD5: hBotaJrJY4zzU4jIfuaJIQ==\r\n'],
    ['/dev1/a/f', 'Content-Digest: md5=:hBotaJrJY4zzU4jIfuaJIQ==:\r\n'],
    ['/dev1/a/f', 'Repr-Digest: md5=:hBotaJrJY4zzU4jIfuaJIQ==:\r\n'],
    ['/dev1/a/f', 'Want-Repr-Digest: md5=1\r\n'],
    ...['/dev1/new/f', '/dev2/a/f', '/dev1/usage', '/dev1/a/', '/dev1/a/.f', '/dev1/a/%66'].map(
      (target) => [target, ''],
    ),
    ...['/dev1/a/f?x', '/dev1/../f', '/dev1', '/a/f', `/dev1/${'a'.repeat(256)}`].map((target) => [
      target,
      '',
    ]),
  ] as const) {
    expect([target, headers, begin(headOf(target, headers))]).toEqual([target, headers, false]);
  }
  const answer = await new Promise<Buffer | undefined>((done) => {
    expect(begin(headOf('/dev1/a/f'), done)).toBe(true);
  });
  expect(await readFile(join(docroot, 'dev1/a/f'), 'utf8')).toBe('body');
  const { port } = await startNode({ docroot: await createDocroot(1) });
  const wire = new Wire(port).send(
    'PUT /dev1/f HTTP/1.1\r\nX_odd: 1\r\nContent-Length: 4\r\n\r\nbody',
  );
  await until('it is answered', () => wire.received.endsWith('\r\n\r\n'));
  const masked = (text: string) => text.replace(/^Date: .*$/m, 'Date: now');
  expect(masked(answer?.toString() ?? '')).toBe(masked(wire.received));
});

test('the uploads of a busy device are all there, also the last of a name', async () => {
  const { url, docroot } = await startNode({ sync: 'never' });
  const store = (round: number) =>
    Promise.all(
      Array.from({ length: 100 }, async (_, at) => {
        const body = Buffer.alloc(10 + at * 100, `${round}:${at} `);
        return (await put(`${url}/dev1/a/${at}`, body)).status;
      }),
    );
  for (let round = 1; round <= 2; round += 1) {
    expect(new Set(await store(round))).toEqual(new Set([200]));
    for (const at of [0, 50, 99]) {
      const text = await readFile(join(docroot, `dev1/a/${at}`), 'utf8');
      expect([text.length, text.slice(0, 4)]).toEqual([
        10 + at * 100,
        `${round}:${at} `.slice(0, 4),
      ]);
    }
  }
});
