/**
 * Writes one stream to several storage nodes at once. As long as the stream is short enough to be
 * kept, a node that fails is replaced by a spare one; later it is left out. The last piece goes out
 * only when the whole body was found right, so that no node ever completes a wrong file.
 */
import { OmgfsError } from '@omgfs/protocol';
import type { Dispatcher } from 'undici';
import { PutStream, type PutTarget } from './put-stream.ts';

export interface FanOutOptions {
  agent: Dispatcher;
  /** Where the file may go, best first. */
  targets: readonly PutTarget[];
  /** How many of them shall get it. */
  copies: number;
  length: number | undefined;
  stallMs: number;
  /** Told each piece of the body. */
  onBytes: (chunk: Uint8Array) => void;
  /** Called before the last piece goes out. @throws what makes the body refused. */
  verify: () => void;
}

/** Beginning of a body that is kept for a spare target; small files are kept whole. */
const headBytesMax = 256 * 1024;

export class FanOut {
  readonly #options: FanOutOptions;
  readonly #spare: PutTarget[];
  readonly #failures: { reason: string; isFull: boolean }[] = [];
  #streams: PutStream[] = [];
  /** Devices that may have the file although they did not say so. */
  readonly left: string[] = [];
  /** Everything written so far; undefined when that was too much. */
  #head: Uint8Array[] | undefined = [];
  #headBytes = 0;

  constructor(options: FanOutOptions) {
    this.#options = options;
    this.#spare = [...options.targets];
  }

  /**
   * Writes the whole body.
   * @returns the targets that have stored it, at least one.
   * @throws DEVICE_DOWN, or DEVICE_FULL when all were full; `details.tried` has the reason of each
   * target, with addresses that are not for everyone; what `body` and `verify` throw.
   */
  async write(body: AsyncIterable<Uint8Array>): Promise<PutTarget[]> {
    try {
      let held: Uint8Array | undefined;
      await this.#fill();
      for await (const chunk of body) {
        if (chunk.length === 0) continue;
        this.#options.onBytes(chunk);
        if (held !== undefined) await this.#push(held);
        held = chunk;
      }
      this.#options.verify();
      return await this.#end(held);
    } catch (error) {
      for (const stream of this.#streams) stream.cut();
      throw error;
    }
  }

  async #push(chunk: Uint8Array): Promise<void> {
    this.#headBytes += chunk.length;
    if (this.#head !== undefined && this.#headBytes > headBytesMax) await this.#settle();
    this.#head?.push(chunk);
    await this.#each((stream) => stream.write(chunk));
    await this.#fill();
  }

  /** Lets nodes refuse while there is still the whole beginning for others; then drops it. */
  async #settle(): Promise<void> {
    for (let failed = -1; failed !== this.#failures.length; ) {
      failed = this.#failures.length;
      await this.#each((stream) => stream.begun());
      await this.#fill();
    }
    this.#head = undefined;
  }

  async #end(last: Uint8Array | undefined): Promise<PutTarget[]> {
    const stored: PutTarget[] = [];
    for (;;) {
      await this.#each(async (stream) => {
        await stream.end(last);
        stored.push(stream.target);
      });
      this.#streams = [];
      if (stored.length >= this.#options.copies || !this.#canFill()) break;
      await this.#fill(stored.length);
    }
    if (stored.length === 0) throw this.#noneTook();
    return stored;
  }

  /** Opens as many targets as are missing, as long as they can get the body from its beginning. */
  async #fill(have = 0): Promise<void> {
    while (this.#streams.length + have < this.#options.copies && this.#canFill()) {
      const target = this.#spare.shift() as PutTarget;
      this.#streams.push(new PutStream(this.#options.agent, target, this.#options));
      await this.#each(async (stream) => {
        for (const chunk of this.#head ?? []) await stream.write(chunk);
      }, this.#streams.slice(-1));
    }
    if (this.#streams.length + have === 0) throw this.#noneTook();
  }

  #canFill(): boolean {
    return this.#spare.length > 0 && this.#head !== undefined;
  }

  async #each(
    work: (stream: PutStream) => Promise<void>,
    streams: readonly PutStream[] = this.#streams,
  ): Promise<void> {
    await Promise.all(
      streams.map((stream) =>
        work(stream).catch((error: unknown) => {
          stream.cut();
          this.#streams = this.#streams.filter((other) => other !== stream);
          const { devid, url } = stream.target;
          if (stream.mayBeStored) this.left.push(devid);
          const reason = error instanceof Error ? error.message : String(error);
          this.#failures.push({
            reason: `dev${devid} at ${url.replace(/\?.*/s, '')}: ${reason}`,
            isFull: stream.isFull,
          });
        }),
      ),
    );
  }

  #noneTook(): OmgfsError {
    const tried = this.#failures.map(({ reason }) => reason);
    const full = this.#failures.filter(({ isFull }) => isFull).length;
    const all = full > 0 && full === tried.length;
    const words = all ? 'all are full' : `${full} full, ${tried.length - full} failed`;
    const advice = all ? 'free space or add devices' : 'send it again';
    const message = `No storage node took the file (${tried.length} tried, ${words}); ${advice}.`;
    return new OmgfsError(all ? 'DEVICE_FULL' : 'DEVICE_DOWN', { message, details: { tried } });
  }
}
