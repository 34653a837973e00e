/**
 * Goal: a client that leaves in the middle frees what works for it, also where its request waited
 * behind another. Method: a real server and raw sockets, on a file system that never comes to an
 * end by itself.
 */
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { type DavEntry, type DavFileSystem, type FileFacts, WebDav } from '../src/index.ts';

/** What goes on, by what it is about. */
interface Work {
  listing: Set<string>;
  copying: Set<string>;
}

const collection: FileFacts = { kind: 'collection', bytes: 0 };
const file: FileFacts = { kind: 'file', bytes: 1 };

/** `/endless` lists for ever; copies of files last until they are aborted. */
class EndlessFiles implements DavFileSystem {
  readonly work: Work = { listing: new Set(), copying: new Set() };

  async stat(path: string): Promise<FileFacts | undefined> {
    if (path === '/' || path === '/endless' || path === '/tree') return collection;
    return path.startsWith('/new') ? undefined : file;
  }

  async *list(path: string): AsyncGenerator<DavEntry> {
    this.work.listing.add(path);
    try {
      for (let n = 0; path === '/endless' || n < 3; n += 1) {
        // Lets others have a turn, as a disk would.
        await new Promise(setImmediate);
        yield { name: `file-${n}`, facts: file };
      }
    } finally {
      this.work.listing.delete(path);
    }
  }

  async copyFile(from: string, _to: string, { signal }: { signal: AbortSignal }): Promise<void> {
    this.work.copying.add(from);
    try {
      await new Promise((_, reject) => {
        signal.throwIfAborted();
        signal.addEventListener('abort', () => reject(signal.reason), { once: true });
      });
    } finally {
      this.work.copying.delete(from);
    }
  }

  async makeCollection(): Promise<void> {}
  async createEmpty(): Promise<void> {}
  async remove(): Promise<void> {}
  async move(): Promise<void> {}
}

async function start() {
  const files = new EndlessFiles();
  const dav = new WebDav({ files, readonly: false });
  const ended: unknown[] = [];
  const server = createServer((req, res) => {
    dav.handle(req, res, req.url ?? '').then(
      () => ended.push('answered'),
      (error) => ended.push(error),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const send = (...requests: string[]) => {
    const { port } = server.address() as AddressInfo;
    const socket = connect({ host: '127.0.0.1', port });
    onTestFinished(() => void socket.destroy());
    socket.on('error', () => {});
    socket.write(requests.join(''));
    return socket;
  };
  return { work: files.work, ended, send };
}

const request = (method: string, path: string, ...headers: string[]) =>
  `${method} ${path} HTTP/1.1\r\n${['Host: x', ...headers].join('\r\n')}\r\n\r\n`;

test('a PROPFIND whose client leaves reads no further', async () => {
  const { work, ended, send } = await start();
  const socket = send(request('PROPFIND', '/endless', 'Depth: 1'));
  // One that is read on, and one that is not.
  const stopped = send(request('PROPFIND', '/endless', 'Depth: 1'));
  stopped.pause();
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  await until('much of the answer', () => bytes > 100_000 && work.listing.size > 0);
  expect(ended).toEqual([]);
  socket.destroy();
  stopped.destroy();
  await until('both to be over', () => ended.length === 2);
  expect(work.listing.size).toBe(0);
});

test('a COPY whose client leaves is ended, with all that it had begun', async () => {
  const { work, ended, send } = await start();
  const socket = send(request('COPY', '/tree', 'Destination: /new'));
  await until('three copies at once', () => work.copying.size === 3);
  socket.destroy();
  await until('it to be over', () => ended.length === 1);
  expect(ended).toMatchObject([{ name: 'AbortError' }]);
  expect([work.copying.size, work.listing.size]).toEqual([0, 0]);
});

test('so is one that waits behind another on its connection', async () => {
  const { work, ended, send } = await start();
  const pair = ['one', 'two'].map((name) =>
    request('COPY', `/${name}`, `Destination: /new-${name}`),
  );
  const socket = send(...pair);
  await until('both to be copied', () => work.copying.size === 2);
  socket.destroy();
  await until('both to be over', () => ended.length === 2);
  expect(work.copying.size).toBe(0);
});

test('one whose client has left already is not begun', async () => {
  const { work, ended, send } = await start();
  // Its body never comes whole.
  const socket = send(request('COPY', '/tree', 'Destination: /new', 'Content-Length: 5'));
  await until('it to be there', () => socket.bytesWritten > 0 && !socket.connecting);
  socket.destroy();
  await until('it to be over', () => ended.length === 1);
  expect(work.copying.size).toBe(0);
});
