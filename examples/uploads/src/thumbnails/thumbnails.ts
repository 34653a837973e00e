/**
 * Thumbnails: made when somebody looks for the first time, kept in a class of one copy, and made
 * anew when that copy is lost. A second copy would cost more than making it again.
 */
import { buffer } from 'node:stream/consumers';
import type { Client } from '@omgfs/client';
import { type Item, keyOf, thumbnailKey } from '../gallery.ts';
import { NoPicture, ThumbnailMaker } from './thumbnail-maker.ts';

export const thumbnailClass = 'thumb';

/** Where a thumbnail is to be read, or the thumbnail, just made. */
export type Thumbnail = { paths: string[] } | { made: Buffer; paths?: undefined };

const pictureBytesMax = 32 * 1024 * 1024;
/** Requests that wait for a thumbnail, at most. */
const waitingMax = 200;
const unfitMax = 10_000;
/** For a storage node to say whether it has one. */
const askMs = 1_000;

export class Thumbnails {
  readonly #client: Client;
  readonly #maker = new ThumbnailMaker();
  readonly #making = new Map<string, Promise<Buffer>>();
  /** Pictures that none can be made of. */
  readonly #unfit = new Set<string>();

  constructor(client: Client) {
    this.#client = client;
  }

  /** Undefined when there is none to be had. @throws OmgfsError when the picture is not there. */
  async find(item: Item): Promise<Thumbnail | undefined> {
    // A thumbnail may be left of a picture that is gone; it is not shown then.
    await this.#client.paths(keyOf(item), { count: 1 });
    if (this.#unfit.has(item.id)) return undefined;
    const paths = await this.#kept(item.id);
    if (paths.length > 0) return { paths };
    try {
      return { made: await this.#make(item) };
    } catch (error) {
      if (error instanceof NoPicture) this.#remember(item.id);
      return undefined;
    }
  }

  close(): Promise<void> {
    return this.#maker.close();
  }

  /** The place of the only copy, where it can be read. */
  async #kept(id: string): Promise<string[]> {
    const paths = await this.#client.paths(thumbnailKey(id), { count: 1 }).catch(() => []);
    const [path] = paths;
    // Asked here rather than left to nginx, which could try no other copy.
    return path !== undefined && (await isThere(path)) ? paths : [];
  }

  #make(item: Item): Promise<Buffer> {
    const running = this.#making.get(item.id);
    if (running !== undefined) return running;
    if (this.#making.size >= waitingMax) return Promise.reject(new Error('too many wait'));
    const making = this.#makeAndKeep(item).finally(() => this.#making.delete(item.id));
    this.#making.set(item.id, making);
    return making;
  }

  async #makeAndKeep(item: Item): Promise<Buffer> {
    const made = await this.#maker.make(async () => {
      const { stream, length } = await this.#client.get(keyOf(item));
      if (length <= pictureBytesMax) return buffer(stream);
      stream.destroy();
      throw new NoPicture('the file is too large');
    });
    // One that cannot be kept is shown all the same.
    await this.#client.put(thumbnailKey(item.id), made, { class: thumbnailClass }).catch(() => {});
    return made;
  }

  #remember(id: string): void {
    this.#unfit.add(id);
    const [oldest] = this.#unfit;
    if (this.#unfit.size > unfitMax && oldest !== undefined) this.#unfit.delete(oldest);
  }
}

async function isThere(url: string): Promise<boolean> {
  try {
    return (await fetch(url, { method: 'HEAD', signal: AbortSignal.timeout(askMs) })).ok;
  } catch {
    return false;
  }
}
