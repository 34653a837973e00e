/** The other node, from which replicas are fetched: one by one, or small ones in a bundle. */

import type { FrameHead, FrameSink } from '@omgfs/protocol';
import {
  askAlone,
  bundle,
  type Checksum,
  FrameReader,
  type HashType,
  RecentMap,
} from '@omgfs/protocol';
import type { Agent, Dispatcher } from 'undici';
import type { Buffers } from '../device/buffers.ts';
import { requestBundle } from './bundle-request.ts';

export interface Order {
  source: URL;
  length: number;
  /** What the bytes must be. */
  expected: Checksum | undefined;
  hash: HashType | undefined;
}

export interface Patience {
  /** Without progress for so long the other node is given up. */
  stallMs: number;
  gone: AbortSignal;
}

/** The source failed, not this node: another source may do. */
export class SourceFailure extends Error {}

/** All bytes of a file; `give` must be called when they are needed no more. */
export interface WholeFile {
  bytes: Buffer;
  give: () => void;
}

/** `alone`: the file did not come in the bundle and is to be fetched by itself. */
export type Bundled = WholeFile | 'alone';

const connectionsPerNode = 16;
/** Read from the network at once. */
const readBytes = 64 * 1024;
/** Bytes of a bundle that have come and are not stored yet: enough to keep a disk busy. */
const heldBytesMax = 2 * 1024 * 1024;
/** While others need the memory of the node, too. */
const heldBytesMin = heldBytesMax / 4;
/** A node that does not know bundles is not asked again for so long. */
const rememberMs = 600_000;
const rememberedMax = 1000;

/** Shared by all pulls of the process: connections to other nodes are kept. */
let agent: Promise<Agent> | undefined;
/** Until when each node is asked for no bundles, by origin. */
const without = new RecentMap<string, number>(rememberedMax);

/** Opens the source and looks at its length. @throws SourceFailure. */
export async function openSource(
  { source, length }: Order,
  { stallMs, gone }: Patience,
): Promise<Dispatcher.ResponseData['body']> {
  let reply: Dispatcher.ResponseData;
  try {
    agent ??= createAgent();
    reply = await (await agent).request({
      origin: source.origin,
      path: source.pathname + source.search,
      method: 'GET',
      signal: gone,
      headersTimeout: stallMs,
      bodyTimeout: stallMs,
    });
  } catch (error) {
    throw new SourceFailure(reasonOf(error));
  }
  const announced = Number(reply.headers['content-length']);
  if (reply.statusCode === 200 && announced === length) return reply.body;
  drop(reply.body);
  if (reply.statusCode !== 200) throw new SourceFailure(`answered ${reply.statusCode}`);
  throw new SourceFailure(`has ${announced} bytes instead of ${length}`);
}

/** Loaded for the first file that is fetched: it is a third of what starting a node takes. */
async function createAgent(): Promise<Agent> {
  const { Agent } = await import('undici');
  return new Agent({ connections: connectionsPerNode });
}

/** Whether the file may come in a bundle. */
export function isBundled({ source, length }: Order): boolean {
  if (length > bundle.fileBytesMax) return false;
  const untilMs = without.get(source.origin);
  return untilMs === undefined || untilMs < performance.now();
}

/**
 * Fetches files that one node has. Memory is that of `buffers`; no more is read while too much of
 * it waits to be given back.
 * @returns for each order what came of it; they reject with SourceFailure.
 */
export function fetchBundle(
  orders: readonly Order[],
  options: Patience & { buffers: Buffers },
): Promise<Bundled>[] {
  const fetching = new BundleFetch(orders, options.buffers);
  void fetching.run(options);
  return fetching.files;
}

class BundleFetch implements FrameSink {
  readonly files: Promise<Bundled>[];
  readonly #orders: readonly Order[];
  readonly #buffers: Buffers;
  readonly #settles = new Map<
    number,
    { resolve: (file: Bundled) => void; reject: (error: SourceFailure) => void }
  >();
  /** Of the frame that is coming. */
  #buffer: Buffer | undefined;
  #heldBytes = 0;
  #onGiven: () => void = () => {};

  constructor(orders: readonly Order[], buffers: Buffers) {
    this.#orders = orders;
    this.#buffers = buffers;
    this.files = orders.map((_, index) => {
      return new Promise((resolve, reject) => this.#settles.set(index, { resolve, reject }));
    });
  }

  /** Never rejects. */
  async run(patience: Patience): Promise<void> {
    let failure: SourceFailure | undefined;
    try {
      await this.#read(patience);
    } catch (error) {
      failure = failureOf(error);
      // Whatever stands between, the next answer would be no better.
      if (error instanceof RangeError) forget(this.#orders[0]?.source.origin ?? '');
    }
    if (this.#buffer !== undefined) this.#give(this.#buffer);
    for (const { resolve, reject } of this.#settles.values()) {
      if (failure === undefined) resolve('alone');
      else reject(failure);
    }
  }

  begin({ index, status, bytes }: FrameHead): Buffer | undefined {
    const isWanted = status === 200 && bytes === this.#orders[index]?.length;
    this.#buffer = isWanted ? this.#buffers.take(bytes) : undefined;
    this.#heldBytes += this.#buffer?.length ?? 0;
    return this.#buffer;
  }

  end({ index, status, bytes }: FrameHead): void {
    const settle = this.#settles.get(index);
    this.#settles.delete(index);
    const buffer = this.#buffer;
    this.#buffer = undefined;
    const length = this.#orders[index]?.length;
    if (buffer !== undefined) {
      settle?.resolve({ bytes: buffer.subarray(0, bytes), give: () => this.#give(buffer) });
    } else if (status === askAlone || (status === 200 && bytes === length)) {
      settle?.resolve('alone');
    } else {
      const has = `has ${bytes} bytes instead of ${length}`;
      settle?.reject(new SourceFailure(status === 200 ? has : `answered ${status}`));
    }
  }

  /** What does not come, because it is no bundle or not all of one, is asked for alone. */
  async #read({ stallMs, gone }: Patience): Promise<void> {
    const [first] = this.#orders;
    const buffer = this.#buffers.take(readBytes);
    if (first === undefined || buffer === undefined) return;
    const frames = new FrameReader(this.#orders.length, this);
    try {
      const answer = await requestBundle({
        node: first.source,
        targets: JSON.stringify(this.#orders.map(({ source }) => source.pathname + source.search)),
        stallMs,
        gone,
        buffer,
        take: (chunk) => {
          frames.push(chunk);
          // A disk of this node that hangs gives nothing back.
          return this.#hasRoom(stallMs);
        },
      });
      if (answer === 'unknown') forget(first.source.origin);
    } finally {
      this.#buffers.give(buffer, { reusable: true });
    }
  }

  /** Waits until no more is held than may be. @returns false when that takes too long. */
  #hasRoom(stallMs: number): true | Promise<boolean> {
    if (!this.#isFull) return true;
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), stallMs);
      this.#onGiven = () => {
        if (this.#isFull) return;
        clearTimeout(timer);
        resolve(true);
      };
    });
  }

  get #isFull(): boolean {
    return this.#heldBytes > (this.#buffers.plentiful ? heldBytesMax : heldBytesMin);
  }

  #give(buffer: Buffer): void {
    this.#heldBytes -= buffer.length;
    this.#buffers.give(buffer, { reusable: true });
    this.#onGiven();
  }
}

/** Remembers that a node does not know bundles. */
function forget(origin: string): void {
  without.set(origin, performance.now() + rememberMs);
}

/** @returns undefined where a second try, alone, may well succeed at once. */
function failureOf(error: unknown): SourceFailure | undefined {
  if (error instanceof RangeError) return undefined;
  const code = error instanceof Error && 'code' in error ? error.code : '';
  if (code === 'ECONNRESET' || code === 'EPIPE') return undefined;
  return new SourceFailure(reasonOf(error));
}

function drop(body: Dispatcher.ResponseData['body']): void {
  body.on('error', () => {}).destroy();
}

export function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
