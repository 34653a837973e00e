/**
 * The files of the site as omgfs keys. A file has a number of its own for ever, so nothing is ever
 * overwritten: what was made of its bytes stays right, and two people may both upload `cat.jpg`.
 *
 *     up/<id>/<name>     the file, in the default class
 *     thumbs/<id>        its thumbnail, in a class of one copy
 */
import { randomBytes } from 'node:crypto';
import type { Client } from '@omgfs/client';

export interface Item {
  id: string;
  name: string;
}

export interface Page {
  items: Item[];
  /** Where the next page begins; undefined on the last. */
  next: string | undefined;
}

const root = 'up/';
/** A key may have 255 bytes; the number and the folders need 24. */
const nameBytesMax = 200;
/** Milliseconds of a date far away; numbers count down to it, so that the newest comes first. */
const endOfTime = 36 ** 9;

export class Gallery {
  readonly #client: Client;

  constructor(client: Client) {
    this.#client = client;
  }

  /** Newest first. @param after `next` of the page before. */
  async page(size: number, after: string | undefined): Promise<Page> {
    const items: Item[] = [];
    const start = after === undefined || !isId(after) ? {} : { after: `${root}${after}0` };
    for await (const key of this.#client.list({ prefix: root, limit: size + 1, ...start })) {
      const item = itemOf(key);
      if (item !== undefined) items.push(item);
    }
    const more = items.length > size;
    const shown = items.slice(0, size);
    return { items: shown, next: more ? shown.at(-1)?.id : undefined };
  }

  /** Undefined when there is none, or no longer. */
  async find(id: string): Promise<Item | undefined> {
    if (!isId(id)) return undefined;
    for await (const key of this.#client.list({ prefix: `${root}${id}/`, limit: 1 })) {
      return itemOf(key);
    }
    return undefined;
  }

  /** Stores a stream; nothing is to be seen of it unless it comes to its end. */
  async add(
    wishedName: string,
    source: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<Item & { bytes: number }> {
    const item = { id: newId(), name: safeName(wishedName) };
    const { bytes } = await this.#client.put(keyOf(item), source, { signal });
    return { ...item, bytes };
  }

  async rename(item: Item, wishedName: string): Promise<Item> {
    const renamed = { ...item, name: safeName(wishedName) };
    if (renamed.name !== item.name) await this.#client.rename(keyOf(item), keyOf(renamed));
    return renamed;
  }

  async delete(item: Item): Promise<void> {
    await this.#client.delete(keyOf(item));
    await this.#client.delete(thumbnailKey(item.id));
  }
}

export function keyOf({ id, name }: Item): string {
  return `${root}${id}/${name}`;
}

export function thumbnailKey(id: string): string {
  return `thumbs/${id}`;
}

export function isId(text: string): boolean {
  return /^[0-9a-z]{9}[0-9a-f]{10}$/.test(text);
}

function itemOf(key: string): Item | undefined {
  const [, id = '', name = ''] = /^up\/([^/]+)\/([^/]+)$/.exec(key) ?? [];
  return isId(id) ? { id, name } : undefined;
}

function newId(): string {
  const time = (endOfTime - Date.now()).toString(36).padStart(9, '0');
  return time + randomBytes(5).toString('hex');
}

/** A name that can stand in a key, an address and a file system; its ending stays. */
export function safeName(wished: string): string {
  const name = wished
    .replace(/[\p{Cc}/\\]/gu, '_')
    .replace(/\p{Surrogate}/gu, '\uFFFD')
    .trim();
  const ending = /\.\w{1,10}$/.exec(name)?.[0] ?? '';
  let stem = name.slice(0, name.length - ending.length);
  while (Buffer.byteLength(stem + ending) > nameBytesMax) stem = [...stem].slice(0, -1).join('');
  return stem + ending || 'unnamed';
}
