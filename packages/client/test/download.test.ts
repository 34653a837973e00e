/**
 * Goal: a download yields exactly the bytes of one version of the file or fails; it goes on at the
 * same byte from another replica, and ends no exchange because its reader is slow.
 * Method: a scripted tracker hands out URLs of HTTP servers that break in the ways of each test.
 */
import { randomBytes } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { encodeOk } from '@omgfs/protocol';
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { type Client, createClient, type Download } from '../src/index.ts';
import { HttpNode, sendBytes } from './http-node.ts';
import { codeOf, LineServer } from './line-server.ts';

const body = randomBytes(3_000_000);
const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  patienceMs = 30_000;
  for (const close of opened.splice(0).reverse()) await close();
});

async function node(answer: RequestListener): Promise<HttpNode> {
  const started = await HttpNode.start(answer);
  opened.push(() => started[Symbol.asyncDispose]());
  return started;
}

/** For tests that wait for a node to be given up; others never give one up in time. */
const stallMs = 1_500;
let patienceMs = 30_000;

/** A client whose tracker knows these replicas, and others at each further question if given. */
async function clientOf(...answers: string[][]): Promise<Client> {
  const tracker = await LineServer.start(() => {
    const paths = (answers.length > 1 ? answers.shift() : answers[0]) ?? [];
    const fields = paths.map((path, at) => [`path${at + 1}`, path]);
    return encodeOk({ paths: paths.length, ...Object.fromEntries(fields) });
  });
  const client = createClient({
    trackers: [tracker.address],
    domain: 'd',
    headersTimeoutMs: patienceMs,
    stallMs: patienceMs,
  });
  opened.push(
    () => tracker[Symbol.asyncDispose](),
    () => client.close(),
  );
  return client;
}

const whole = (etag?: string) =>
  node((request, response) => sendBytes(request, response, { body, ...(etag ? { etag } : {}) }));

async function expectWhole(client: Client): Promise<void> {
  const { stream, length } = await client.get('k');
  expect(length).toBe(body.length);
  expect((await buffer(stream)).equals(body)).toBe(true);
}

/** What `each` gives, copied while it is good. */
async function piecesOf(download: Download): Promise<Buffer> {
  const pieces: Buffer[] = [];
  await download.each(async (piece) => {
    // Also when it takes its time.
    await new Promise(setImmediate);
    pieces.push(Buffer.from(piece));
  });
  return Buffer.concat(pieces);
}

describe('the first replica', () => {
  const spoilt: [string, RequestListener][] = [
    ['answers 404', (_, response) => response.writeHead(404).end()],
    ['answers 500', (_, response) => response.writeHead(500).end('no')],
    ['accepts and says nothing', () => {}],
    ['closes without an answer', (request) => request.socket.destroy()],
    ['tells no length', (_, response) => response.end(body)],
    [
      'gives a part without being asked for one',
      (_, response) => {
        const part = body.subarray(0, 1_000);
        const range = `bytes 0-${part.length - 1}/${body.length}`;
        response.writeHead(206, { 'content-length': part.length, 'content-range': range });
        response.end(part);
      },
    ],
    [
      'breaks in mid-body',
      (request, response) => sendBytes(request, response, { body, cutAfter: 1_000_000 }),
    ],
    [
      'stops in mid-body',
      (_, response) => {
        response.writeHead(200, { 'content-length': body.length });
        response.write(body.subarray(0, 500_000));
      },
    ],
  ];
  test.each(spoilt)('%s: the second one serves', async (_, answer) => {
    patienceMs = stallMs;
    const [bad, good] = [await node(answer), await whole()];
    // A healthy node may seem to stall on a busy machine; not so often.
    const others = [2, 3, 4, 5].map((devid) => good.path(devid, 7));
    await expectWhole(await clientOf([bad.path(1, 7), ...others]));
    expect(bad.seen.length).toBeGreaterThan(0);
  });

  test('breaks, and the bytes go on exactly where they ended', async () => {
    const bad = await node((request, response) => {
      sendBytes(request, response, { body, cutAfter: 1_000_000 });
    });
    const good = await whole();
    const client = await clientOf([bad.path(1, 7), good.path(2, 7)]);
    const range = { start: 100, end: 2_000_000 };
    const { stream } = await client.get('k', { range });
    expect((await buffer(stream)).equals(body.subarray(100, 2_000_001))).toBe(true);
    const [resumed] = good.seen;
    const at = Number(/^bytes=(\d+)-2000000$/.exec(resumed?.range ?? '')?.[1]);
    expect(at).toBeGreaterThan(100);
    expect(at).toBeLessThanOrEqual(1_000_100);
  });

  test('is the only one, and is asked again as long as it gives bytes', async () => {
    const flaky = await node((request, response) => {
      sendBytes(request, response, { body, cutAfter: 1_000_000 });
    });
    await expectWhole(await clientOf([flaky.path(1, 7)]));
    expect(flaky.seen.length).toBeGreaterThan(2);
  });
});

describe('piece by piece', () => {
  test('the same bytes, across replicas, and once', async () => {
    const bad = await node((request, response) => {
      sendBytes(request, response, { body, cutAfter: 1_000_000 });
    });
    const good = await whole();
    const client = await clientOf([bad.path(1, 7), good.path(2, 7)]);
    const found = await client.get('k', { range: { start: 5, end: 2_500_000 } });
    expect((await piecesOf(found)).equals(body.subarray(5, 2_500_001))).toBe(true);
    const other = await client.get('k');
    other.stream.destroy();
    // Once more would be no bytes and no error.
    for (const read of [other, found]) expect(await codeOf(read.each(() => {}))).toBe('BAD_ARGS');
    expect(() => found.stream).toThrow('read once');
  });

  test('who fails to take one gets that error, and the connection ends', async () => {
    let hasEnded = false;
    const good = await node((request, response) => {
      request.socket.once('close', () => {
        hasEnded = true;
      });
      response.writeHead(200, { 'content-length': body.length }).write(body.subarray(0, 100_000));
    });
    const found = await (await clientOf([good.path(1, 7)])).get('k');
    const full = () => Promise.reject(new Error('disk full'));
    await expect(found.each(full)).rejects.toThrow('disk full');
    await until('the connection to end', () => hasEnded);
  });
});

describe('two versions are never mixed', () => {
  const broken = (etag?: string) =>
    node((request, response) => {
      sendBytes(request, response, { body, cutAfter: 1_000_000, ...(etag ? { etag } : {}) });
    });

  test.each([
    ['another length', { body: Buffer.concat([body, body]) }],
    ['another tag of the fid', { body, etag: '"7-other"' }],
    ['no respect for ranges', { body, ignoreRange: true }],
  ])('a replica with %s is passed over', async (_, file) => {
    const first = await broken('"7-one"');
    const other = await node((request, response) => sendBytes(request, response, file));
    const good = await whole('"7-one"');
    await expectWhole(await clientOf([first, other, good].map((one, at) => one.path(at, 7))));
    expect(other.seen.length).toBe(1);
  });

  test('tags made of file times differ on every foreign server and mean nothing', async () => {
    const [first, second] = [await broken('"5f3c-2dc6c0"'), await whole('"5f3d-2dc6c0"')];
    await expectWhole(await clientOf([first.path(1, 7), second.path(2, 7)]));
  });

  test('when nothing fits, the stream fails and says why', async () => {
    const first = await node((request, response) => {
      if (request.headers.range) response.writeHead(404).end();
      else sendBytes(request, response, { body, cutAfter: 1_000_000 });
    });
    const client = await clientOf([first.path(1, 7)]);
    const { stream } = await client.get('k');
    const reading = buffer(stream);
    await expect(reading).rejects.toMatchObject({ code: 'NO_REPLICA_UP' });
    await expect(reading).rejects.toThrow(/stopped at byte \d+.*answered 404/);
  });
});

test('a reader that is slow is nobody’s fault', async () => {
  patienceMs = 2 * stallMs;
  const good = await whole();
  const client = await clientOf([good.path(1, 7)]);
  const { stream } = await client.get('k');
  const mark = performance.now();
  await until('time to pass', () => performance.now() - mark > patienceMs + 500);
  expect((await buffer(stream)).equals(body)).toBe(true);
  expect(good.seen.length).toBe(1);
});

test('a key that was overwritten between the two questions is looked up again', async () => {
  const old = await node((_, response) => response.writeHead(404).end());
  const fresh = await whole();
  await expectWhole(await clientOf([old.path(1, 7)], [fresh.path(1, 8)]));
});

test('a file without replicas is an error', async () => {
  expect(await codeOf((await clientOf([])).get('k'))).toBe('NO_REPLICA_UP');
});

test('the query of a signed URL reaches the node', async () => {
  const good = await whole();
  await expectWhole(await clientOf([`${good.path(1, 7)}?sig=abc`]));
  expect(good.seen[0]?.url).toMatch(/\?sig=abc$/);
});
