/**
 * Goal: downloads that are broken off leave no connections to storage nodes behind for long,
 * whatever the node says about how long it keeps idle ones.
 * Method: a file store whose commands are answered here, and a storage node that counts.
 */
import { once } from 'node:events';
import { createServer } from 'node:http';
import { test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { createFileStore } from '../../src/files/file-store.ts';

test('a download that is broken off', async () => {
  const length = 50_000_000;
  let open = 0;
  let lastMs = 0;
  const node = createServer({ keepAliveTimeout: 600_000 }, (_, response) => {
    response.writeHead(200, { 'content-length': length });
    const piece = Buffer.alloc(100_000);
    const more = () => {
      if (!response.destroyed) response.write(piece, more);
    };
    more();
  });
  node.on('connection', (socket) => {
    open += 1;
    lastMs = performance.now();
    socket.on('close', () => (open -= 1)).on('error', () => {});
  });
  node.listen(0, '127.0.0.1');
  await once(node, 'listening');
  const bound = node.address();
  const port = typeof bound === 'object' && bound ? bound.port : 0;
  const path1 = `http://127.0.0.1:${port}/dev1/0/000/000/0000000007.fid`;
  const files = createFileStore({
    connTimeoutMs: 5_000,
    nodeTimeoutMs: 30_000,
    call: async ({ command }) => {
      if (command === 'get_paths') return { paths: 1, path1 };
      return { fid: 7, length, class: 'default', devcount: 1, domain: 'd', key: 'k' };
    },
  });
  const facts = await files.stat({ domain: 'd', key: 'k' });
  const reads = Array.from({ length: 100 }, async () => {
    const stream = await files.open(facts);
    if (stream === undefined) throw new Error('the file is there');
    await once(stream, 'readable');
    stream.destroy();
  });
  await Promise.all(reads);
  // undici connects anew for a request that was aborted, and keeps that connection then.
  const quiet = () => open === 0 && performance.now() - lastMs > 1_000;
  await until('all connections to be closed', quiet);
  await files.close();
  node.close();
});
