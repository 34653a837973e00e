/** Goal: I7, memory is bounded by configuration, whatever readers and writers do. Method: the built
 *  mogstored, a sparse file, many readers that hardly read, writers of long uploads; the process's
 *  own peak of resident memory is read from /proc. */
import { readFile, truncate, writeFile } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { join } from 'node:path';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { ask, createDocroot, filesOf, launch } from './helpers.ts';

const gibibyte = 1024 ** 3;
const mebibyte = 1024 ** 2;
/** About 140 as measured; nothing in it grows with the length of files. */
const peakMaxMib = 220;

function dial(port: number, head: string): Socket {
  const socket = connect({ host: '127.0.0.1', port });
  socket.on('error', () => {});
  onTestFinished(() => {
    socket.destroy();
  });
  socket.write(head);
  return socket;
}

test('I7: memory is bounded with 1000 slow readers of 1 GiB and 64 writers', async () => {
  const docroot = await createDocroot(1);
  const file = join(docroot, 'dev1', 'large');
  await writeFile(file, '');
  await truncate(file, gibibyte);
  const { child, port, url } = await launch(docroot, '--sync', 'never', '--free-reserve-mb', '0');
  let reading = 0;
  for (let count = 0; count < 1000; count += 1) {
    const socket = dial(port, 'GET /dev1/large HTTP/1.1\r\n\r\n');
    // Takes what it is sent first and then no more.
    socket.once('data', () => {
      reading += 1;
      socket.pause();
    });
  }
  const piece = Buffer.alloc(mebibyte);
  // The node sets aside what is announced: of all together no more than any machine has free.
  const announced = 64 * mebibyte;
  let written = 0;
  for (let count = 0; count < 64; count += 1) {
    const head = `PUT /dev1/w${count} HTTP/1.1\r\nContent-Length: ${announced}\r\n\r\n`;
    const socket = dial(port, head);
    let left = 8;
    const next = () => {
      written += 1;
      left -= 1;
      if (left > 0) socket.write(piece, next);
    };
    socket.write(piece, next);
  }
  await until('all are under way', () => reading === 1000 && written === 64 * 8);
  // Others are served meanwhile.
  const answer = await ask(`${url}/dev1/large`, { headers: { range: 'bytes=0-99' } });
  expect(answer.status).toBe(206);
  await until('all are written', async () => {
    const names = await filesOf(docroot, 1);
    return names.filter((name) => name.startsWith('.tmp/')).length === 64;
  });
  const status = await readFile(`/proc/${child.pid}/status`, 'utf8');
  const peakMib = Number(/VmHWM:\s+(\d+) kB/.exec(status)?.[1]) / 1024;
  expect(peakMib).toBeGreaterThan(30);
  expect(peakMib).toBeLessThan(peakMaxMib);
});
