/**
 * Goal: every method of the client library does what its docstring promises, for every kind of
 * source and key.
 * Method: two trackers and three storage nodes as real processes; what was stored is read back and
 * compared byte for byte.
 */
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { type AddressInfo, connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough, Readable } from 'node:stream';
import { buffer } from 'node:stream/consumers';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import {
  type Client,
  type ClientOptions,
  createAdmin,
  createClient,
  type UploadSource,
} from '@omgfs/client';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { until } from '../helpers/wait.ts';

const domain = 'd';
const mebibyte = 1024 * 1024;
const small = randomBytes(10_000);
const large = randomBytes(5 * mebibyte + 17);

let cluster: LocalCluster;
let client: Client;
let dir: string;

beforeAll(async () => {
  dir = await mkdtemp(join(tmpdir(), 'omgfs-client-'));
  cluster = await startLocalCluster({ hosts: 3, devicesPerHost: 1, trackers: 2, domain });
  client = newClient();
});
afterAll(async () => {
  await client?.close();
  await cluster?.stop();
  await rm(dir, { recursive: true, force: true });
});

function newClient(options: Partial<ClientOptions> = {}): Client {
  return createClient({ trackers: cluster.trackers, domain, ...options });
}

async function read(key: string | Buffer, from = client): Promise<Buffer> {
  return buffer((await from.get(key)).stream);
}

/** Stores a file and waits for its copies. */
async function storeCopies(key: string, body: Buffer, copies = 2): Promise<void> {
  await client.put(key, body);
  await until(`${copies} copies of ${key}`, async () => {
    return (await client.info(key)).devcount >= copies;
  });
}

async function* pieces(body: Buffer, bytes = 64 * 1024): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += bytes) yield body.subarray(at, at + bytes);
}

test('a domain that one tracker has just made is known to the other', async () => {
  const [first = '', second = ''] = cluster.trackers;
  const admin = createAdmin({ trackers: [first] });
  const other = newClient({ trackers: [second], domain: 'new' });
  try {
    await admin.createDomain('new');
    await other.put('key', small);
    expect(await read('key', other)).toEqual(small);
  } finally {
    await Promise.all([admin.close(), other.close()]);
  }
});

describe('put and get', () => {
  const sources: [string, (body: Buffer) => UploadSource | Promise<UploadSource>][] = [
    ['a Buffer', (body) => body],
    ['a Uint8Array', (body) => new Uint8Array(body)],
    [
      'a file',
      async (body) => {
        const file = join(dir, `source-${body.length}`);
        await writeFile(file, body);
        return { file };
      },
    ],
    ['a Readable', (body) => Readable.from(pieces(body), { objectMode: false })],
    ['an async generator', (body) => pieces(body)],
    [
      'a web stream',
      (body) => Readable.toWeb(Readable.from(pieces(body))) as ReadableStream<Uint8Array>,
    ],
    ['one huge chunk', (body) => pieces(body, body.length)],
  ];
  const bodies: [string, Buffer][] = [
    ['nothing', Buffer.alloc(0)],
    ['one byte', Buffer.from('x')],
    ['a small file', small],
    ['exactly the buffered head', large.subarray(0, mebibyte)],
    ['a large file', large],
  ];
  for (const [kind, make] of sources) {
    test.each(bodies)(`${kind} with %s`, async (_, body) => {
      const key = `sources/${kind}`;
      const stored = await client.put(key, await make(body), { checksum: 'SHA-1' });
      const hex = createHash('sha1').update(body).digest('hex');
      expect(stored).toMatchObject({ bytes: body.length, checksum: { type: 'SHA-1', hex } });
      const download = await client.get(key);
      expect(download).toMatchObject({
        length: body.length,
        fileLength: body.length,
        fid: stored.fid,
      });
      expect((await buffer(download.stream)).equals(body)).toBe(true);
      expect((await client.info(key)).length).toBe(body.length);
    });
  }

  test('a stream of announced length, and progress on the way', async () => {
    const seen: number[] = [];
    const options = { size: large.length, onProgress: (bytes: number) => seen.push(bytes) };
    await client.put('announced', pieces(large), options);
    expect(seen.at(-1)).toBe(large.length);
    expect((await read('announced')).equals(large)).toBe(true);
  });

  test.each([
    ['shorter', large.length + 1],
    ['longer', large.length - 1],
  ])('a stream %s than announced stores nothing', async (_, size) => {
    await client.put('wrong-length', small);
    const put = client.put('wrong-length', pieces(large), { size });
    await expect(put).rejects.toMatchObject({ code: 'SIZE_MISMATCH' });
    expect((await read('wrong-length')).equals(small)).toBe(true);
  });

  test.each([
    ['at once', small],
    ['far on', large],
  ])('a source that fails %s is the cause of the error, nothing is stored', async (_, body) => {
    const cause = new Error('the source broke');
    async function* broken() {
      yield* pieces(body);
      throw cause;
    }
    const put = client.put('broken', broken());
    await expect(put).rejects.toMatchObject({ code: 'SOURCE_FAILED', retry: 'never', cause });
    await expect(put).rejects.toThrow(/the source broke; nothing was stored/);
    await expect(client.get('broken')).rejects.toMatchObject({ code: 'UNKNOWN_KEY' });
  });

  test('a request that is cut off is the cause of the error', async () => {
    const receiver = createServer((request) => {
      const put = client.put('cut', request, { size: 1_000_000 });
      put.catch((error: unknown) => receiver.emit('failed', error));
    });
    receiver.listen(0, '127.0.0.1');
    await once(receiver, 'listening');
    const failed = once(receiver, 'failed');
    const socket = connect((receiver.address() as AddressInfo).port, '127.0.0.1');
    const head = 'PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n';
    socket.write(head + 'x'.repeat(1000), () => socket.destroy());
    const [error] = await failed;
    receiver.close();
    expect(error).toMatchObject({ code: 'SOURCE_FAILED', cause: { code: 'ECONNRESET' } });
    await expect(client.get('cut')).rejects.toMatchObject({ code: 'UNKNOWN_KEY' });
  });

  test('text where bytes are needed is refused', async () => {
    const source = Readable.from(['text']) as unknown as UploadSource;
    await expect(client.put('text', source)).rejects.toMatchObject({ code: 'BAD_ARGS' });
  });

  test('an empty key is refused, because it would mean giving the upload up', async () => {
    await expect(client.put('', small)).rejects.toMatchObject({ code: 'NO_KEY' });
  });

  test('a range, also open and beyond the end', async () => {
    await client.put('range', large);
    const part = await client.get('range', { range: { start: 1000, end: 1_999_999 } });
    expect(part).toMatchObject({ length: 1_999_000, fileLength: large.length });
    expect((await buffer(part.stream)).equals(large.subarray(1000, 2_000_000))).toBe(true);
    const rest = await client.get('range', { range: { start: large.length - 5 } });
    expect((await buffer(rest.stream)).equals(large.subarray(-5))).toBe(true);
    const beyond = client.get('range', { range: { start: large.length } });
    await expect(beyond).rejects.toMatchObject({ code: 'RANGE_NOT_SATISFIABLE' });
    const backwards = client.get('range', { range: { start: 5, end: 4 } });
    await expect(backwards).rejects.toMatchObject({ code: 'BAD_ARGS' });
  });

  test('an overwritten key has the new bytes', async () => {
    const first = await client.put('twice', small);
    const second = await client.put('twice', large);
    expect(second.fid).not.toBe(first.fid);
    expect((await read('twice')).equals(large)).toBe(true);
  });
});

describe('keys', () => {
  test.each([
    ['text', 'Grüße/日本 🙂'],
    ['what the protocol escapes', 'a+b&c=d%20 e\\f:g'],
    ['zero', '0'],
    ['bytes of no charset', Buffer.from([1, 9, 10, 13, 128, 192, 254, 255, 0, 32])],
  ])('of %s', async (_, key) => {
    await client.put(key, small);
    expect((await read(key)).equals(small)).toBe(true);
    expect((await client.info(key)).length).toBe(small.length);
    await client.rename(key, 'renamed-key');
    await client.rename('renamed-key', key);
    expect(await client.delete(key)).toBe(true);
  });

  test('too long for the database are refused', async () => {
    const put = client.put('k'.repeat(256), small);
    await expect(put).rejects.toMatchObject({ code: 'KEY_TOO_LONG' });
  });
});

describe('names', () => {
  test('what is not there has its own codes', async () => {
    const calls = [() => client.get('no'), () => client.paths('no'), () => client.info('no')];
    for (const call of calls) {
      await expect(call()).rejects.toMatchObject({ code: 'UNKNOWN_KEY', status: 404 });
    }
    await expect(client.rename('no', 'other')).rejects.toMatchObject({ code: 'UNKNOWN_KEY' });
    const put = client.put('k', small, { class: 'no' });
    await expect(put).rejects.toMatchObject({ code: 'UNREG_CLASS' });
    const foreign = newClient({ domain: 'no' });
    await expect(foreign.put('k', small)).rejects.toMatchObject({ code: 'UNREG_DOMAIN' });
    await foreign.close();
  });

  test('a delete tells whether the key was there', async () => {
    await client.put('deleted', small);
    expect(await client.delete('deleted')).toBe(true);
    expect(await client.delete('deleted')).toBe(false);
  });

  test('a rename moves, and never over another file', async () => {
    await client.put('from', small);
    await client.put('to', large.subarray(0, 5));
    await expect(client.rename('from', 'to')).rejects.toMatchObject({ code: 'KEY_EXISTS' });
    await client.rename('from', 'free');
    expect((await read('free')).equals(small)).toBe(true);
    await expect(client.get('from')).rejects.toMatchObject({ code: 'UNKNOWN_KEY' });
  });

  test('paths are URLs of replicas, as many as asked for at most', async () => {
    await storeCopies('paths', small);
    const { fid } = await client.info('paths');
    const paths = await client.paths('paths', { count: 9, verify: true });
    expect(paths.length).toBe(2);
    for (const path of paths) expect(path).toMatch(new RegExp(`^http://.*${fid}\\.fid$`));
    expect((await client.paths('paths', { count: 1 })).length).toBe(1);
  });

  test('remembered paths do not outlive an overwrite, nor does a checksum', async () => {
    const remembering = newClient({ pathCache: { entries: 10, ttlMs: 60_000 } });
    for (const bytes of [small, large]) {
      await remembering.put('remembered', bytes);
      const { stream } = await remembering.get('remembered', { verify: true });
      expect((await buffer(stream)).equals(bytes)).toBe(true);
    }
    await remembering.close();
  });

  test('a list has all keys of a prefix in byte order, over all pages', async () => {
    const keys = Array.from({ length: 1203 }, (_, n) => `list/${String(n).padStart(4, '0')}`);
    const left = [...keys, 'lisu', 'list'];
    const admin = createAdmin({ trackers: cluster.trackers });
    await admin.createClass({ domain, name: 'one', mindevcount: 1 });
    await admin.close();
    // Asked for names that do not exist, a tracker looks for new ones once a second.
    for (const tracker of cluster.trackers) {
      await until(`${tracker} to know the class`, async () => {
        const one = newClient({ trackers: [tracker] });
        return await one.put('known', small, { class: 'one' }).finally(() => one.close());
      });
    }
    const work = async () => {
      for (let key = left.pop(); key !== undefined; key = left.pop()) {
        await client.put(key, Buffer.from('x'), { class: 'one' });
      }
    };
    await Promise.all(Array.from({ length: 24 }, work));
    const collect = async (options: Parameters<Client['list']>[0]) => {
      const seen: string[] = [];
      for await (const key of client.list(options)) seen.push(key);
      return seen;
    };
    expect(await collect({ prefix: 'list/' })).toEqual(keys);
    expect(await collect({ prefix: 'list/', after: 'list/1000' })).toEqual(keys.slice(1001));
    expect(await collect({ prefix: 'list/', limit: 7 })).toEqual(keys.slice(0, 7));
    expect(await collect({ prefix: 'list/', limit: 0 })).toEqual([]);
    expect(await collect({ prefix: 'nothing/' })).toEqual([]);
    const abort = new AbortController();
    abort.abort(new Error('enough'));
    await expect(collect({ signal: abort.signal })).rejects.toThrow('enough');
  });

  test('a list with a delimiter has keys and folders, each once', async () => {
    const names = ['a', 'b/1', 'b/2/x', 'b/2/y', 'b0', 'ü/1', 'ü/2', 'c/'];
    for (const name of names) await client.put(`fold/${name}`, Buffer.from('x'));
    const collect = async (options: Parameters<Client['list']>[0]) => {
      const seen: string[] = [];
      for await (const entry of client.list(options)) seen.push(entry);
      return seen;
    };
    const top = ['a', 'b/', 'b0', 'c/', 'ü/'].map((name) => `fold/${name}`);
    expect(await collect({ prefix: 'fold/', delimiter: '/' })).toEqual(top);
    expect(await collect({ prefix: 'fold/', delimiter: '/', limit: 2 })).toEqual(top.slice(0, 2));
    const inner = await collect({ prefix: 'fold/b/', delimiter: '/' });
    expect(inner).toEqual(['fold/b/1', 'fold/b/2/']);
    // Not only one character, and not within the prefix.
    expect(await collect({ prefix: 'fold/b', delimiter: '/2/' })).toEqual([
      'fold/b/1',
      'fold/b/2/',
      'fold/b0',
    ]);
  });

  test('a list of bytes has the bytes', async () => {
    const key = Buffer.from([...Buffer.from('bytes/'), 255, 0, 10]);
    await client.put(key, small);
    const seen: Buffer[] = [];
    for await (const one of client.listBytes({ prefix: 'bytes/' })) seen.push(one);
    expect(seen).toEqual([key]);
  });
});

describe('an abort', () => {
  test('ends an upload whose source is stuck, and nothing is stored', async () => {
    for (const bytes of [10, 2 * mebibyte]) {
      const stuck = new PassThrough();
      stuck.write(large.subarray(0, bytes));
      const abort = new AbortController();
      const put = client.put('aborted', stuck, { signal: abort.signal });
      const outcome = expect(put).rejects.toThrow('enough');
      await until('the bytes to be taken', () => stuck.readableLength === 0);
      abort.abort(new Error('enough'));
      await outcome;
      expect(stuck.destroyed).toBe(true);
      await expect(client.get('aborted')).rejects.toMatchObject({ code: 'UNKNOWN_KEY' });
    }
  });

  test('ends a download in mid-body', async () => {
    await client.put('long', large);
    const abort = new AbortController();
    const { stream } = await client.get('long', { signal: abort.signal });
    const drain = (async () => {
      for await (const _ of stream) abort.abort(new Error('enough'));
    })();
    await expect(drain).rejects.toThrow('enough');
  });

  test('before anything was sent ends every method', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    const calls = [
      () => client.put('k', small, { signal }),
      () => client.get('k', { signal }),
      () => client.paths('k', { signal }),
      () => client.info('k', { signal }),
      () => client.delete('k', { signal }),
      () => client.rename('k', 'l', { signal }),
    ];
    for (const call of calls) await expect(call()).rejects.toThrow('enough');
  });
});

test('a download that is dropped unread frees its connection', async () => {
  await client.put('dropped', large);
  const narrow = newClient({ storageConnectionsMax: 1 });
  for (let n = 0; n < 5; n += 1) (await narrow.get('dropped')).stream.destroy();
  const { stream } = await narrow.get('dropped');
  for await (const _ of stream) break;
  expect((await read('dropped', narrow)).equals(large)).toBe(true);
  await narrow.close();
});
