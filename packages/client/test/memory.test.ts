/**
 * Goal: the memory of a client does not depend on the size of the files that pass through it.
 * Method: a process of its own reads, then stores, what is many times as large as it may become,
 * as streams with fresh buffers; the system says how large it ever was.
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { encodeOk } from '@omgfs/protocol';
import { afterEach, expect, test } from 'vitest';
import { HttpNode } from './http-node.ts';
import { LineServer } from './line-server.ts';

const mebibyte = 1024 * 1024;
const sizeMebibytes = 400;

const script = `
  import { readFileSync } from 'node:fs';
  import { createRequire } from 'node:module';
  import { createClient } from '@omgfs/client';
  const [tracker, method] = process.argv.slice(1);
  const client = createClient({ trackers: [tracker], domain: 'd' });
  async function* fresh() {
    for (let at = 0; at < ${sizeMebibytes} * 16; at += 1) yield Buffer.alloc(65536, 'x');
  }
  let bytes = 0;
  if (method === 'each') await (await client.get('k')).each((piece) => { bytes += piece.length; });
  else if (method === 'put') ({ bytes } = await client.put('k', fresh()));
  else for await (const chunk of (await client.get('k')).stream) bytes += chunk.length;
  await client.close();
  const status = readFileSync('/proc/self/status', 'utf8');
  const peakKibibytes = +/VmHWM:\\s+(\\d+)/.exec(status)[1];
  const loaded = Object.keys(createRequire(process.cwd() + '/').cache).join();
  console.log(JSON.stringify({ bytes, peakKibibytes, loaded }));
`;

const opened: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one[Symbol.asyncDispose]();
});

test.each(['get', 'put', 'each'])('%s of a large file', async (method) => {
  const piece = Buffer.alloc(mebibyte, 'x');
  const node = await HttpNode.start((request, response) => {
    request.removeAllListeners('data').resume();
    if (request.method === 'PUT') {
      request.on('end', () => response.writeHead(201).end());
      return;
    }
    response.writeHead(200, { 'content-length': sizeMebibytes * mebibyte });
    let left = sizeMebibytes;
    const more = () => {
      if (left === 0) response.end();
      else response.write(piece, more);
      left -= 1;
    };
    more();
  });
  opened.push(node);
  const path = node.path(1, 7);
  const tracker = await LineServer.start(({ command }) => {
    if (command === 'get_paths') return encodeOk({ paths: 1, path1: path });
    if (command === 'create_open')
      return encodeOk({ fid: 7, dev_count: 1, devid_1: 1, path_1: path });
    return encodeOk({});
  });
  opened.push(tracker);
  const args = ['--input-type=module', '-e', script, tracker.address, method];
  const { stdout } = await promisify(execFile)(process.execPath, args, {
    cwd: import.meta.dirname,
  });
  const { bytes, peakKibibytes, loaded } = JSON.parse(stdout) as {
    bytes: number;
    peakKibibytes: number;
    loaded: string;
  };
  expect(bytes).toBe(sizeMebibytes * mebibyte);
  // Who only reads does not pay for undici: 18 MiB, and a heap that V8 marks again and again.
  expect(loaded.includes('undici')).toBe(method === 'put');
  expect(peakKibibytes / 1024).toBeLessThan(100);
});
