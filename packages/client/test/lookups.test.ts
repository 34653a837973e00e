/**
 * Goal: remembered paths save questions and never outlive a change through the same client; a
 * verified download ends well only with the bytes that the tracker knows.
 * Method: a scripted tracker counts its questions; HTTP servers hold right and wrong bytes.
 */
import { createHash, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { encodeError, encodeOk } from '@omgfs/protocol';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { type Client, type ClientOptions, createClient } from '../src/index.ts';
import { HttpNode, sendBytes } from './http-node.ts';
import { codeOf, LineServer } from './line-server.ts';

const body = randomBytes(300_000);
const md5 = createHash('md5').update(body).digest('hex');

let tracker: LineServer;
let node: HttpNode;
let client: Client;
let served: Buffer;
/** What the tracker says. */
let state: { fid: number; pathFids: number[]; checksum: string };

function clientWith(options: Partial<ClientOptions>): Client {
  return createClient({ trackers: [tracker.address], domain: 'd', ...options });
}

beforeEach(async () => {
  served = body;
  state = { fid: 7, pathFids: [7], checksum: `MD5:${md5}` };
  node = await HttpNode.start((request, response) =>
    sendBytes(request, response, { body: served }),
  );
  tracker = await LineServer.start(({ command }) => {
    if (command === 'file_info') return encodeOk({ fid: state.fid, checksum: state.checksum });
    if (command !== 'get_paths') return encodeOk({});
    const fid = (state.pathFids.length > 1 ? state.pathFids.shift() : state.pathFids[0]) ?? 0;
    if (fid === 0) return encodeError({ code: 'unknown_key', text: '' });
    return encodeOk({ paths: 2, path1: node.path(1, fid), path2: node.path(2, fid) });
  });
  client = clientWith({ pathCache: { entries: 4, ttlMs: 60_000 } });
});
afterEach(async () => {
  await client.close();
  await tracker[Symbol.asyncDispose]();
  await node[Symbol.asyncDispose]();
});

const questions = () => tracker.commands.filter((command) => command === 'get_paths').length;

describe('remembered paths', () => {
  test('are asked for once, also for fewer of them', async () => {
    const paths = await client.paths('k');
    expect(await client.paths('k')).toEqual(paths);
    expect(await client.paths('k', { count: 1 })).toEqual(paths.slice(0, 1));
    expect(questions()).toBe(1);
    await client.paths('k', { count: 3 });
    await client.paths('k', { verify: true });
    expect(questions()).toBe(3);
  });

  test.each([
    ['delete', () => client.delete('k')],
    ['rename', () => client.rename('k', 'other')],
    ['rename onto it', () => client.rename('other', 'k')],
  ])('are forgotten at %s', async (_, change) => {
    await client.paths('k');
    await change();
    await client.paths('k');
    expect(questions()).toBe(2);
  });

  test('are forgotten after their time, and when others are newer', async () => {
    // Of four that may be remembered, the two that were looked up last are.
    for (const key of ['a', 'b', 'a', 'c', 'a', 'd', 'a', 'e', 'a', 'b']) await client.paths(key);
    expect(questions()).toBe(6);
    const none = clientWith({ pathCache: { entries: 0 } });
    for (const key of ['a', 'a']) await none.paths(key);
    expect(questions()).toBe(8);
    await none.close();
    const short = clientWith({ pathCache: { entries: 2, ttlMs: 1 } });
    const before = questions();
    await until('the time to pass', async () => {
      await short.paths('k');
      return questions() - before > 1;
    });
    await short.close();
  });

  test('that do not serve any more are asked for again', async () => {
    await client.paths('k', { count: 16 });
    const gone = node;
    node = await HttpNode.start((request, response) => sendBytes(request, response, { body }));
    await gone[Symbol.asyncDispose]();
    const { stream } = await client.get('k');
    expect((await buffer(stream)).equals(body)).toBe(true);
  });

  test('a key that was not there is not remembered', async () => {
    state.pathFids = [0, 7];
    expect(await codeOf(client.paths('k'))).toBe('UNKNOWN_KEY');
    expect((await client.paths('k')).length).toBe(2);
  });
});

describe('a verified download', () => {
  test('has the bytes and says what they were compared with', async () => {
    const { stream, checksum } = await client.get('k', { verify: true });
    expect((await buffer(stream)).equals(body)).toBe(true);
    expect(checksum).toBe(`MD5:${md5}`);
  });

  test('fails at the end when one byte is another', async () => {
    served = Buffer.from(body);
    served[1000] = (served[1000] ?? 0) ^ 1;
    const { stream } = await client.get('k', { verify: true });
    expect(await codeOf(buffer(stream))).toBe('CHECKSUM_MISMATCH');
    const pieces = await client.get('k', { verify: true });
    expect(await codeOf(pieces.each(() => {}))).toBe('CHECKSUM_MISMATCH');
    const unchecked = await client.get('k');
    expect((await buffer(unchecked.stream)).equals(served)).toBe(true);
  });

  test('looks again when the key was overwritten between the questions', async () => {
    state.pathFids = [6, 7];
    const { stream, fid } = await client.get('k', { verify: true });
    expect(fid).toBe(7);
    expect((await buffer(stream)).equals(body)).toBe(true);
    state.fid = 8;
    expect(await codeOf(client.get('k', { verify: true }))).toBe('FAILURE');
  });

  test('of a file without a checksum is as any other', async () => {
    state.checksum = 'MISSING';
    const { stream, checksum } = await client.get('k', { verify: true });
    expect((await buffer(stream)).length).toBe(body.length);
    expect(checksum).toBeUndefined();
  });

  test('cannot be a range', async () => {
    const range = { start: 0, end: 9 };
    expect(await codeOf(client.get('k', { verify: true, range }))).toBe('BAD_ARGS');
  });
});
