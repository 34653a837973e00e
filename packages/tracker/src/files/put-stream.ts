/**
 * One PUT to a storage node, written piece by piece: what the node does not take makes the writer
 * wait, and a node that makes no progress is given up.
 */
import { PassThrough } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { Dispatcher } from 'undici';

export interface PutTarget {
  devid: string;
  url: string;
}

export interface PutOptions {
  /** Undefined sends the body in chunks. */
  length: number | undefined;
  /** How long the node may make no progress. */
  stallMs: number;
}

const bufferBytes = 128 * 1024;
/** Longer than an answer inside a data centre takes; waited for once in a large upload. */
const refusalMs = 10;
const lookEveryMs = 2;
/** As much of a storage node's explanation as goes into an error. */
const saidCharsMax = 200;

export class PutStream {
  readonly target: PutTarget;
  /** The node said that it has no room. */
  isFull = false;
  /** The node said no, so it keeps nothing. */
  #refused = false;
  readonly #body = new PassThrough({ highWaterMark: bufferBytes });
  readonly #abort = new AbortController();
  readonly #stallMs: number;
  #failure: Error | undefined;
  #stored = false;
  /** Continues whoever waits for the node. */
  #wake: () => void = () => {};

  constructor(agent: Dispatcher, target: PutTarget, options: PutOptions) {
    this.target = target;
    this.#stallMs = options.stallMs;
    this.#body.on('drain', () => this.#wake());
    // The request says why it failed; this only keeps the process alive.
    this.#body.on('error', () => {});
    this.#send(agent, options).then(
      () => {
        this.#stored = true;
        this.#wake();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  /** Whether the node may have the whole body although this failed: its answer was lost. */
  get mayBeStored(): boolean {
    return this.#body.writableEnded && !this.#refused;
  }

  /** Takes a piece. Rejects when the node failed or takes nothing for too long. */
  async write(chunk: Uint8Array): Promise<void> {
    this.#check();
    if (this.#body.write(chunk)) return;
    await this.#progress(() => this.#body.writableLength < bufferBytes);
  }

  /**
   * Resolves when all pieces so far are on their way and the node had a moment to refuse them: who
   * is full or does not know the device says so before the body ends.
   */
  async begun(): Promise<void> {
    const deadline = performance.now() + this.#stallMs;
    // Streams have no event for what they handed on when they were never full.
    while (this.#body.writableLength + this.#body.readableLength > 0) {
      this.#check();
      if (performance.now() > deadline) this.#stalled();
      await delay(lookEveryMs);
    }
    await delay(refusalMs);
    this.#check();
  }

  /**
   * Takes the last piece, and resolves when the node has stored the whole body. The end goes along
   * with the piece, because a node that knows the length answers without waiting for it.
   */
  async end(last: Uint8Array | undefined): Promise<void> {
    this.#check();
    this.#body.end(last);
    await this.#progress(() => this.#stored);
  }

  /** The node keeps nothing of a body that is cut. */
  cut(): void {
    this.#fail(new Error('given up'));
  }

  async #progress(isDone: () => boolean): Promise<void> {
    while (!isDone()) {
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(() => this.#stalled(), this.#stallMs);
        if (this.#failure !== undefined) resolve();
      });
      clearTimeout(timer);
      this.#check();
    }
  }

  #check(): void {
    if (this.#failure !== undefined) throw this.#failure;
  }

  #stalled(): void {
    this.#fail(new Error(`no progress for ${this.#stallMs} ms`));
  }

  #fail(error: unknown): void {
    this.#failure ??= error instanceof Error ? error : new Error(String(error));
    this.#abort.abort(this.#failure);
    this.#body.destroy();
    this.#wake();
  }

  async #send(agent: Dispatcher, { length }: PutOptions): Promise<void> {
    const { origin, pathname, search } = new URL(this.target.url);
    const { statusCode, body } = await agent.request({
      origin,
      path: pathname + search,
      method: 'PUT',
      headers: {
        'content-type': 'application/octet-stream',
        ...(length === undefined ? {} : { 'content-length': String(length) }),
      },
      body: this.#body,
      signal: this.#abort.signal,
      // It would count the time that the source takes.
      headersTimeout: 0,
    });
    const said = (await body.text()).trim().slice(0, saidCharsMax);
    if (statusCode < 200 || statusCode >= 300) {
      this.isFull = statusCode === 507;
      this.#refused = true;
      throw new Error(`PUT answered ${statusCode} ${said}`.trim());
    }
    // A node that answers before it has seen the end has not stored the file.
    if (!this.#body.writableEnded) throw new Error('it answered before the end of the body');
  }
}
