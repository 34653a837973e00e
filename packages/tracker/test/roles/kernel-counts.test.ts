/**
 * Goal: what the kernel says of a connection is exactly what was read and written (I4).
 * Method: real sockets on loopback, one side of which reads nothing; and texts that `ss` prints.
 */
import { once } from 'node:events';
import { type AddressInfo, connect, createServer, type Socket } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { kernelCounts, parseCounts } from '../../src/roles/survival/kernel-counts.ts';

test('bytes that wait in the kernel are not counted as read', async () => {
  const server = createServer({ pauseOnConnect: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const accepted = once(server, 'connection') as Promise<[Socket]>;
  const client = connect({ host: '127.0.0.1', port });
  const [socket] = await accepted;
  onTestFinished(() => {
    client.destroy();
    socket.destroy();
    server.close();
  });
  const counts = async () =>
    (await kernelCounts(port)).get(`127.0.0.1:${port} ${client.localAddress}:${client.localPort}`);
  expect(await counts()).toEqual({ read: 0, written: 0 });
  client.write('x'.repeat(1000));
  socket.write('y'.repeat(77));
  await until('the bytes to be written', async () => (await counts())?.written === 77);
  expect((await counts())?.read).toBe(0);
  socket.resume();
  await until('the bytes to be read', async () => (await counts())?.read === 1000);
});

test('a connection without counters is left out', () => {
  const output =
    '5 3 10.0.0.1:7001 10.0.0.2:999\n\t cubic rto:200 bytes_acked:10 bytes_received:25 segs\n' +
    '0 0 10.0.0.1:7001 10.0.0.3:999\n' +
    '0 0 10.0.0.1:7001 10.0.0.4:999\n\t cubic rto:200 segs_in:2\n';
  expect(parseCounts(output)).toEqual(
    new Map([
      ['10.0.0.1:7001 10.0.0.2:999', { read: 20, written: 13 }],
      ['10.0.0.1:7001 10.0.0.4:999', { read: 0, written: 0 }],
    ]),
  );
  expect(parseCounts('')).toEqual(new Map());
});
