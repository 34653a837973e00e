/**
 * Goal: a client that resets its connection before it is accepted, and so has no address any more,
 * does not pass the allowed networks. Method: another process connects, sends and resets while
 * this one, with the node in it, stands still.
 */
import { execFileSync } from 'node:child_process';
import { expect, test } from 'vitest';
import { parseNetworks } from '../src/access/networks.ts';
import { ask, createDocroot, put, startNode } from './helpers.ts';

const elsewhere = { networks: parseNetworks('10.0.0.0/8'), secrets: [], pull: true };

/** Resolves when the bytes were sent and the connection was reset, before this process looks. */
function sendAndReset(port: number, text: string): void {
  const script = `
    const socket = require('node:net').connect(${port}, '127.0.0.1');
    socket.write(${JSON.stringify(text)}, () => socket.resetAndDestroy());`;
  execFileSync(process.execPath, ['-e', script]);
}

test('a request of a client that is gone at once does not pass the allowed networks', async () => {
  const docroot = await createDocroot(1);
  const before = await startNode({ docroot });
  await put(`${before.url}/dev1/0/000/000/0000000001.fid`, 'precious');
  await before.node.close();
  const { node } = await startNode({ docroot, access: elsewhere });
  sendAndReset(node.httpPort, 'DELETE /dev1/0/000/000/0000000001.fid HTTP/1.1\r\nHost: x\r\n\r\n');
  // Whatever came first has been served when this is answered.
  expect((await ask(`http://127.0.0.1:${node.httpPort}/`)).status).toBe(403);
  await node.close();
  const { url } = await startNode({ docroot });
  expect((await ask(`${url}/dev1/0/000/000/0000000001.fid`)).text).toBe('precious');
});
