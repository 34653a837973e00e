/**
 * Files that come in parts, over days and several connections, at any tracker. What came of a part
 * is kept when its connection breaks; what a killed tracker had of its last part is lost. A part is
 * written to two devices, where its class wants more than one copy and two take it. A file in one
 * part is closed as it is; others are put together by reading the parts once more, and while that
 * is under way nobody else does it. The upload is over in the transaction that stores the file, so
 * that it never comes back after its key went on. Memory is a few buffers (I7).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { formatChecksum, listOf, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { Dispatcher } from 'undici';
import {
  type Description,
  describingArguments,
  descriptionOf,
  type FilePlace,
} from './file-facts.ts';
import { Pieces } from './pieces.ts';
import { openReplicas } from './replica-reader.ts';
import { type Run, type Written, writeUpload } from './writer.ts';

export interface ResumableOptions {
  run: Run;
  agent: Dispatcher;
  answerMs: number;
  /** Stores a whole file. */
  put: (
    place: FilePlace,
    body: AsyncIterable<Uint8Array>,
    options: Description & {
      class?: string;
      length?: number;
      upload: string;
    },
  ) => Promise<unknown>;
}

export interface UploadState {
  description: Description;
  key: string;
  class: string;
  /** Undefined until somebody says. */
  length: number | undefined;
  /** Bytes that are there. */
  offset: number;
  /** When it is given up if nothing comes. */
  expires: Date;
}

/** As much is lost when a tracker is killed in the middle of a part. */
const partBytesMax = 64 * 1024 * 1024;
const stallMs = 45_000;
const renewEveryMs = 8_000;
/** How long a client waits for another that puts the file together. */
const othersMsMax = 60_000;
const lookEveryMs = 200;

/** One upload; `domain` is a byte string. */
export interface UploadId {
  domain: string;
  id: string;
}

export class ResumableUploads {
  readonly #options: ResumableOptions;

  constructor(options: ResumableOptions) {
    this.#options = options;
  }

  /** @throws UNREG_DOMAIN, UNREG_CLASS, NO_KEY, KEY_TOO_LONG, BAD_PARAMS. @returns its id. */
  async create(
    place: FilePlace,
    options: Description & { class?: string | undefined; length: number | undefined },
  ): Promise<string> {
    const { length, class: className } = options;
    const { id } = await this.#options.run('upload_create', {
      ...place,
      ...{ class: className, length },
      ...describingArguments(options),
    });
    // Nothing will come that could complete it.
    if (length === 0) await this.state({ domain: place.domain, id: String(id) });
    return String(id);
  }

  /**
   * What is there of an upload; one that is all there is a file when this resolves.
   * @throws NO_TEMP_FILE for an unknown or expired one; what putting it together fails with.
   */
  async state(upload: UploadId): Promise<UploadState> {
    const found = await this.#find(upload);
    if (found.fid === 0 && found.offset === found.length) await this.#complete(upload);
    // A tracker was killed when the file was stored.
    else if (found.fid !== 0 && found.bytes > 0) await this.#finish(upload);
    return found;
  }

  /** @throws NO_TEMP_FILE, BAD_PARAMS when the length is known already. */
  async setLength(upload: UploadId, length: number): Promise<void> {
    await this.#options.run('upload_length', { ...upload, length });
  }

  /**
   * Adds bytes at `offset`. When `body` breaks, what came is kept, and the call throws what it
   * broke with. @throws OFFSET_MISMATCH, BODY_TOO_LARGE, as `state`. @returns the new offset.
   */
  async append(
    upload: UploadId,
    {
      offset,
      body,
      bytesMax,
    }: { offset: number; body: AsyncIterable<Uint8Array>; bytesMax?: number | undefined },
  ): Promise<number> {
    const found = await this.#find(upload);
    if (found.offset !== offset) {
      const message = `The upload goes on at byte ${found.offset}, not at ${offset}.`;
      throw new OmgfsError('OFFSET_MISMATCH', { message });
    }
    const end = found.length ?? bytesMax ?? Number.MAX_SAFE_INTEGER;
    const pieces = new Pieces(body);
    let position = offset;
    let last: Written | undefined;
    while (await pieces.hasMore()) {
      const left = end - position;
      const part = left > partBytesMax ? pieces.piece(partBytesMax) : pieces.rest(left);
      last = await this.#addPart(upload, found, { start: position, part });
      position += last.bytes;
    }
    if (position === found.length && found.fid === 0) {
      await this.#complete(upload, last?.bytes === position ? last : undefined);
    }
    if (pieces.failure !== undefined) throw pieces.failure;
    return position;
  }

  /** Gives an upload up; its bytes go away. @throws NO_TEMP_FILE. */
  async remove(upload: UploadId): Promise<void> {
    await this.#options.run('upload_remove', { ...upload });
  }

  #addPart(
    upload: UploadId,
    { key, class: className }: UploadState,
    { start, part }: { start: number; part: AsyncIterable<Uint8Array> },
  ): Promise<Written> {
    const { run } = this.#options;
    const place = { domain: upload.domain, key };
    const options = { class: className };
    return writeUpload(this.#options, { place, body: part, options }, async (written) => {
      const { fid, bytes, stored } = written;
      const devids = stored.map(({ devid }) => devid).join(' ');
      await run('upload_part', { ...upload, start, fid, devids, size: bytes });
      return written;
    });
  }

  /** Makes the file, or waits while another does. `only` is the one part, just written. */
  async #complete(upload: UploadId, only?: Written): Promise<void> {
    const { run } = this.#options;
    const deadline = performance.now() + othersMsMax;
    while (Number((await run('upload_claim', { ...upload })).claimed) === 0) {
      if ((await this.#find(upload)).fid !== 0) return;
      if (performance.now() > deadline) {
        const message = 'The file is being put together from its parts; ask again.';
        throw new OmgfsError('TRACKER_BUSY', { message });
      }
      await delay(lookEveryMs);
    }
    const renewal = setInterval(() => {
      run('upload_renew', { ...upload }).catch(() => {});
    }, renewEveryMs);
    try {
      await this.#store(upload, only);
    } catch (error) {
      await run('upload_renew', { ...upload, release: 1 }).catch(() => {});
      // Another may have made it, when this tracker was too slow to keep its claim.
      const made = await this.#find(upload).catch(() => undefined);
      if (made === undefined || made.fid === 0) throw error;
    } finally {
      clearInterval(renewal);
    }
    await this.#finish(upload);
  }

  async #store({ domain, id }: UploadId, only: Written | undefined): Promise<void> {
    const { run, put } = this.#options;
    const found = await this.#find({ domain, id }, { parts: 1 });
    if (found.fid !== 0) return;
    const { key, parts, class: className, length = 0, description } = found;
    const [part] = parts;
    if (parts.length !== 1 || part === undefined) {
      const options = { class: className, length, upload: id };
      await put({ domain, key }, this.#read(parts), { ...description, ...options });
      return;
    }
    const file = {
      ...{ domain, key, fid: part.fid, size: length, upload: id },
      checksum: only?.checksum && formatChecksum(only.checksum),
      // Those that are among the places of the part are none.
      left: only && [...only.left, ...only.stored.map(({ devid }) => devid)].join(' '),
      ...describingArguments(description),
    };
    let failure: unknown;
    // The first place has to show the file; the next one may do when its node is lost.
    for (const first of part.places.keys()) {
      const places = [...part.places.slice(first), ...part.places.slice(0, first)];
      try {
        await run('create_close', { ...file, ...closeArguments(places) });
        return;
      } catch (error) {
        failure ??= error;
      }
    }
    throw failure ?? new OmgfsError('SIZE_VERIFY_ERROR');
  }

  /** Lets the parts go. */
  async #finish(upload: UploadId): Promise<void> {
    await this.#options.run('upload_finish', { ...upload });
  }

  async *#read(parts: readonly FoundPart[]): AsyncGenerator<Uint8Array> {
    const { agent, answerMs } = this.#options;
    for (const { urls, length } of parts) {
      const range = { start: 0, end: length - 1 };
      yield* await openReplicas(agent, { paths: urls, length, ...range, answerMs, stallMs });
    }
  }

  /** With `parts`, all of them too. */
  async #find(upload: UploadId, more: { parts?: 1 } = {}): Promise<FoundState> {
    return stateOf(await this.#options.run('upload_info', { ...upload, ...more }));
  }
}

interface FoundPart {
  fid: number;
  length: number;
  /** Where it was written. */
  places: { devid: string; path: string }[];
  /** Where it is read. */
  urls: string[];
}

interface FoundState extends UploadState {
  /** The file that it became; 0 before. */
  fid: number;
  /** In parts that are not let go yet. */
  bytes: number;
  /** Empty unless they were asked for. */
  parts: FoundPart[];
}

function closeArguments(places: FoundPart['places']): Record<string, string> {
  const words = places.map(({ devid, path }, at) => {
    const number = at === 0 ? '' : `_${at + 1}`;
    return { [`devid${number}`]: devid, [`path${number}`]: path };
  });
  return Object.assign({}, ...words);
}

function stateOf(reply: ReplyFields): FoundState {
  const parts = listOf(reply, { prefix: 'part_', total: reply.part_count ?? 0 });
  const words = (text: unknown) => String(text).split(' ').filter(Boolean);
  return {
    key: String(reply.key),
    class: String(reply.class),
    length: reply.length === undefined ? undefined : Number(reply.length),
    offset: Number(reply.offset),
    expires: new Date(Number(reply.expires) * 1000),
    fid: Number(reply.fid),
    bytes: Number(reply.bytes),
    parts: parts.map(({ fid, length, devids, paths, urls }) => ({
      ...{ fid: Number(fid), length: Number(length), urls: words(urls) },
      places: words(devids).flatMap((devid, at) => {
        const path = words(paths)[at];
        return path === undefined || path === '-' ? [] : [{ devid, path }];
      }),
    })),
    description: descriptionOf(reply),
  };
}
