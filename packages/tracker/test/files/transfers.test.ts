/**
 * Goal: whatever storage nodes do, a reader gets right bytes or an error, and a body counts as
 * stored where it was stored whole. Method: real servers that break, lie, refuse, fill up or stall.
 */
import { randomBytes } from 'node:crypto';
import type { Readable } from 'node:stream';
import { Agent } from 'undici';
import { describe, expect, onTestFinished, test } from 'vitest';
import { FanOut } from '../../src/files/fan-out.ts';
import { Pieces } from '../../src/files/pieces.ts';
import { openReplicas } from '../../src/files/replica-reader.ts';
import { startTcpNode, startTestNode } from '../devices/http-node.ts';

const small = randomBytes(1_000);
/** More than is kept for a spare node. */
const large = randomBytes(3_000_000);
const nobody = 'http://127.0.0.1:1';

function newAgent(): Agent {
  const agent = new Agent({ connect: { timeout: 1_000 } });
  onTestFinished(() => agent.destroy());
  return agent;
}

async function* piecesOf(body: Buffer, pieceBytes = 50_000): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += pieceBytes) yield body.subarray(at, at + pieceBytes);
}

interface Fan {
  body?: AsyncIterable<Uint8Array>;
  copies?: number;
  length?: number | undefined;
  stallMs?: number;
  verify?: () => void;
  /** Gets the devids that may have the file, too. */
  left?: string[];
}

/** Devids of the nodes that stored the body, or the code of the error. */
async function fan(bases: string[], options: Fan = {}): Promise<string[] | string> {
  const { body = piecesOf(large), copies = 1, length, stallMs = 5_000 } = options;
  const out = new FanOut({
    agent: newAgent(),
    targets: bases.map((base, at) => ({ devid: String(at + 1), url: `${base}/f` })),
    ...{ copies, length, stallMs },
    onBytes: () => {},
    verify: options.verify ?? (() => {}),
  });
  return out.write(body).then(
    (stored) => {
      options.left?.push(...out.left);
      return stored.map(({ devid }) => devid);
    },
    (error: Error & { code?: string }) => error.code ?? error.message,
  );
}

describe('writing', () => {
  test('a node silent at the end may have the file, one that refuses has not', async () => {
    const good = await startTestNode();
    const mute = await startTestNode((request) => {
      request.resume().once('end', () => request.socket.destroy());
    });
    const refusing = await full();
    const left: string[] = [];
    const bases = [mute.base, refusing.base, good.base];
    expect(await fan(bases, { body: piecesOf(small), left })).toEqual(['3']);
    expect(left).toEqual(['1']);
  });

  const full = () =>
    startTestNode((request, response) => response.writeHead(507).end('full') && request.resume());

  test('several nodes get the same bytes, of known length or not', async () => {
    const nodes = await Promise.all([startTestNode(), startTestNode(), startTestNode()]);
    const bases = nodes.map(({ base }) => base);
    expect(await fan(bases, { copies: 2 })).toHaveLength(2);
    const known = { copies: 3, length: small.length, body: piecesOf(small) };
    expect(await fan(bases, known)).toHaveLength(3);
    expect(nodes.map(({ files }) => files.get('/f')?.equals(small))).toEqual([true, true, true]);
    expect(await fan(bases, { body: piecesOf(Buffer.alloc(0)) })).toEqual(['1']);
    expect(nodes[0]?.files.get('/f')?.length).toBe(0);
  });

  test('a node that fails at the beginning is replaced, a small body whenever', async () => {
    const good = await startTestNode();
    expect(await fan([nobody, good.base])).toEqual(['2']);
    expect(good.files.get('/f')?.equals(large)).toBe(true);
    const late = await startTestNode((request, response) => {
      request.resume().on('end', () => response.writeHead(500).end());
      return true;
    });
    const bases = [late.base, (await full()).base, good.base];
    expect(await fan(bases, { body: piecesOf(small), length: small.length })).toEqual(['3']);
    expect(good.files.get('/f')?.equals(small)).toBe(true);
  });

  test('full nodes, and none at all, are told apart', async () => {
    const bases = [(await full()).base, (await full()).base];
    expect(await fan(bases, { body: piecesOf(small) })).toBe('DEVICE_FULL');
    expect(await fan([...bases, nobody], { body: piecesOf(small) })).toBe('DEVICE_DOWN');
    expect(await fan([])).toBe('DEVICE_DOWN');
  });

  test('of two, one that breaks, stalls or answers too early is left out', async () => {
    const good = await startTestNode();
    const breaks = await startTestNode((request) => {
      let bytes = 0;
      return request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > 1_000_000) request.socket.destroy();
      });
    });
    expect(await fan([breaks.base, good.base], { copies: 2 })).toEqual(['2']);
    const stalls = await startTcpNode(() => {});
    expect(await fan([stalls, good.base], { copies: 2, stallMs: 1_500 })).toEqual(['2']);
    const early = await startTestNode((_, response) => response.writeHead(200).end());
    // More than the network takes for somebody who does not read.
    async function* longer() {
      for (let at = 0; at < 12; at += 1) yield* piecesOf(large);
    }
    const both = [early.base, good.base];
    expect(await fan(both, { copies: 2, body: longer() })).toEqual(['2']);
    expect(good.files.get('/f')?.length).toBe(12 * large.length);
  });

  test('a body that breaks or is refused in the end is completed nowhere', async () => {
    const nodes = await Promise.all([startTestNode(), startTestNode()]);
    const bases = nodes.map(({ base }) => base);
    async function* breaking() {
      yield* piecesOf(large);
      throw new Error('source');
    }
    expect(await fan(bases, { body: breaking(), copies: 2 })).toBe('source');
    const refused = () => {
      throw new Error('refused');
    };
    const known = { body: piecesOf(small), length: small.length };
    expect(await fan(bases, { ...known, verify: refused, copies: 2 })).toBe('refused');
    expect(nodes.map(({ files }) => files.size)).toEqual([0, 0]);
  });
});

describe('reading', () => {
  async function read(paths: string[], range: { start?: number; end?: number } = {}) {
    const { start = 0, end = large.length - 1 } = range;
    const limits = { answerMs: 1_500, stallMs: 1_500 };
    const request = { paths, length: large.length, start, end, ...limits };
    const stream: Readable = await openReplicas(newAgent(), request);
    const chunks: Buffer[] = [];
    for await (const chunk of stream) chunks.push(chunk as Buffer);
    return Buffer.concat(chunks);
  }
  const codeOf = (call: Promise<unknown>) =>
    call.then(
      () => 'none',
      (error: { code?: string }) => error.code,
    );
  /** Serves ranges, and ends the connection after so many bytes of each answer. */
  const cutting = (bytes: number) =>
    startTestNode((request, response) => {
      const match = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '');
      const [start, end] = match === null ? [0, large.length - 1] : match.slice(1).map(Number);
      const part = large.subarray(start, (end ?? 0) + 1);
      const range = { 'content-range': `bytes ${start}-${end}/${large.length}` };
      const headers = { 'content-length': part.length, ...(match === null ? {} : range) };
      response.writeHead(match === null ? 200 : 206, headers);
      response.write(part.subarray(0, bytes), () => {
        if (bytes < part.length) request.socket.destroySoon();
        else response.end();
      });
      return true;
    });

  test('goes on at the same byte when replicas break again and again', async () => {
    const [one, other] = [await cutting(700_000), await cutting(400_001)];
    const paths = [`${nobody}/f`, `${one.base}/f`, `${other.base}/f`];
    expect((await read(paths)).equals(large)).toBe(true);
    const part = await read(paths, { start: 1_000_000, end: 2_500_000 });
    expect(part.equals(large.subarray(1_000_000, 2_500_001))).toBe(true);
  });

  test('passes over who has another length, ignores ranges, or never answers', async () => {
    const good = await cutting(Number.POSITIVE_INFINITY);
    const other = await startTestNode();
    other.files.set('/f', small);
    const whole = await startTestNode();
    whole.files.set('/f', large);
    const silent = await startTcpNode(() => {});
    const paths = [other.base, silent, whole.base, good.base].map((base) => `${base}/f`);
    const part = await read(paths, { start: 5, end: 9 });
    expect(part.equals(large.subarray(5, 10))).toBe(true);
    expect((await read([...paths.slice(2), ...paths])).equals(large)).toBe(true);
    expect(await codeOf(read([`${other.base}/f`]))).toBe('NO_REPLICA_UP');
    expect(await codeOf(read([]))).toBe('NO_REPLICA_UP');
  });

  test('ends with an error when the last replica breaks for good', async () => {
    let answers = 0;
    const dying = await startTestNode((request, response) => {
      answers += 1;
      if (answers > 1) return request.socket.destroy();
      response.writeHead(200, { 'content-length': large.length });
      return response.write(large.subarray(0, 100_000), () => request.socket.destroySoon());
    });
    expect(await codeOf(read([`${dying.base}/f`]))).toBe('NO_REPLICA_UP');
    const stalling = await startTestNode((_, response) => {
      response.writeHead(200, { 'content-length': large.length });
      return response.write(large.subarray(0, 100_000));
    });
    expect(await codeOf(read([`${stalling.base}/f`]))).toBe('NO_REPLICA_UP');
  });
});

describe('pieces', () => {
  test('have the length asked for, and all bytes in order', async () => {
    const pieces = new Pieces(piecesOf(large, 70_000));
    const lengths: number[] = [];
    const all: Buffer[] = [];
    while (await pieces.hasMore()) {
      let length = 0;
      for await (const chunk of pieces.piece(1_000_000)) {
        length += chunk.length;
        all.push(Buffer.from(chunk));
      }
      lengths.push(length);
    }
    expect(lengths).toEqual([1_000_000, 1_000_000, 1_000_000]);
    expect(Buffer.concat(all).equals(large)).toBe(true);
  });

  test('end where the stream breaks, and say why', async () => {
    async function* breaking() {
      yield small;
      throw new Error('cut');
    }
    const pieces = new Pieces(breaking());
    const chunks: Uint8Array[] = [];
    for await (const chunk of pieces.piece(5_000)) chunks.push(chunk);
    expect(Buffer.concat(chunks).equals(small)).toBe(true);
    expect(await pieces.hasMore()).toBe(false);
    expect(pieces.failure).toEqual(new Error('cut'));
  });
});
