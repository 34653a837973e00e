/**
 * The client library of omgfs and MogileFS: stores, reads, finds and lists the files of one domain.
 * Every promise is bounded by a deadline and can be aborted; every failure is an OmgfsError whose
 * `code` says what happened and whose `retry` says what the caller can do.
 */
import {
  type Fields,
  fromByteString,
  type HashType,
  OmgfsError,
  parseChecksum,
  toByteString,
  toOmgfsError,
} from '@omgfs/protocol';
import type { Agent } from 'undici';
import { type ByteRange, type Download, download } from './download/download.ts';
import { ReplicaPool } from './download/replica-pool.ts';
import { verifiedDownload } from './download/verified-download.ts';
import { explained } from './explained.ts';
import { listKeys } from './list-keys.ts';
import { PathCache, type PathCacheOptions } from './path-cache.ts';
import { createTrackerPool, type TrackerPool, type TrackerPoolOptions } from './tracker-pool.ts';
import { openSource, type UploadSource } from './upload/source.ts';
import { type StoredFile, upload } from './upload/upload.ts';

export interface ClientOptions extends TrackerPoolOptions {
  domain: string;
  /** For the first byte of a storage node's answer to a read; default 10 s. */
  headersTimeoutMs?: number;
  /** A storage node that makes no progress in mid-body for so long is given up; default 30 s. */
  stallMs?: number;
  /** Connections to one storage node; default 64. */
  storageConnectionsMax?: number;
  /** Remembers the URLs of replicas; off when left out. */
  pathCache?: PathCacheOptions;
}

export interface GetOptions {
  range?: ByteRange;
  /**
   * Compares the bytes with the checksum that the tracker keeps, if it keeps one: the stream fails
   * at its end with CHECKSUM_MISMATCH. Costs a second question; not with a range.
   */
  verify?: boolean;
  signal?: AbortSignal;
}

/** A key as text, which travels as UTF-8, or as the bytes themselves. */
export type Key = string | Buffer;

export interface PutOptions {
  /** Class of the file; the default class when left out. */
  class?: string;
  /** Length of a stream in bytes where it is known: lets the tracker find room for it. */
  size?: number;
  /** Computes the checksum on the way and has the tracker keep it where the class does. */
  checksum?: HashType;
  /**
   * Store only if the key stands for this fid then, or with 0 for none; else it fails, and the key
   * stays as it is. Original trackers store in any case.
   */
  replacing?: number;
  signal?: AbortSignal;
  /** Called with the bytes handed to the network so far; begins anew with each destination. */
  onProgress?: (bytes: number) => void;
}

export interface FileInfo {
  fid: number;
  domain: string;
  class: string;
  key: string;
  length: number;
  devcount: number;
  /** `ALG:hex`, or `MISSING` where the class keeps checksums and there is none. */
  checksum?: string;
  devids: number[];
}

export interface ListOptions {
  /** Only keys that begin with it. */
  prefix?: Key;
  /** Only keys behind it. */
  after?: Key;
  /**
   * Keys that have it behind the prefix are one entry: all up to it, and it, as folders are with
   * `/`. An entry that has it behind the prefix is a folder, every other one a key. The keys in the
   * folders are read all the same.
   */
  delimiter?: Key;
  /** At most so many entries; all when left out. */
  limit?: number;
  signal?: AbortSignal;
}

export interface Client {
  /**
   * Stores a file under a key, replacing what was there. Resolves when the file is durable on one
   * device and the tracker has committed it; further copies follow by themselves. When the caller
   * aborts during that last step, the file may be stored all the same.
   *
   * A stream is read to its end, or destroyed when the upload fails; only a request of `node:http`
   * is left as it is, for its answer.
   *
   * @example await client.put('a/photo.jpg', { file: '/tmp/photo.jpg' });
   * @throws NO_DEVICES, DEVICE_DOWN, DEVICE_FULL, NO_TRACKER_UP, UNREG_DOMAIN, UNREG_CLASS,
   * KEY_TOO_LONG; SOURCE_FAILED with the error of the stream as its cause.
   */
  put(key: Key, source: UploadSource, options?: PutOptions): Promise<StoredFile>;
  /**
   * Opens a file for reading. Resolves when a replica answered; the stream goes on with another
   * replica when the first breaks.
   *
   * @example
   * const { stream } = await client.get('a/photo.jpg', { range: { start: 0, end: 1023 } });
   * await pipeline(stream, createWriteStream('head.jpg'));
   * @throws UNKNOWN_KEY, NO_REPLICA_UP, RANGE_NOT_SATISFIABLE.
   */
  get(key: Key, options?: GetOptions): Promise<Download>;
  /**
   * URLs of the replicas, best first, for a proxy to fetch from. With `verify` the tracker checks
   * the first ones on their devices.
   *
   * @example
   * const paths = await client.paths('a/photo.jpg', { count: 3 });
   * response.writeHead(200, reproxyHeaders(paths, { shape: 'nginx' })).end();
   * @throws UNKNOWN_KEY.
   */
  paths(
    key: Key,
    options?: { count?: number; verify?: boolean; signal?: AbortSignal },
  ): Promise<string[]>;
  /** What the tracker knows of a file. @throws UNKNOWN_KEY. */
  info(key: Key, options?: { signal?: AbortSignal }): Promise<FileInfo>;
  /** Removes a key. @returns whether it was there. */
  delete(key: Key, options?: { signal?: AbortSignal }): Promise<boolean>;
  /** Gives a file another key. @throws UNKNOWN_KEY, KEY_EXISTS. */
  rename(from: Key, to: Key, options?: { signal?: AbortSignal }): Promise<void>;
  /**
   * Keys below a prefix in byte order, page by page as they are asked for.
   *
   * @example for await (const key of client.list({ prefix: 'a/' })) console.log(key);
   */
  list(options?: ListOptions): AsyncGenerator<string>;
  /** As `list`, for keys that are not UTF-8. */
  listBytes(options?: ListOptions): AsyncGenerator<Buffer>;
  /** Any other command, with byte strings, for administration. */
  readonly trackers: TrackerPool;
  /** Closes all connections; what is in flight fails. */
  close(): Promise<void>;
}

const pathCountMax = 16;
const verifyTriesMax = 3;

/** Connects lazily: nothing is sent before the first call. */
export function createClient(options: ClientOptions): Client {
  return new DomainClient(options);
}

class DomainClient implements Client {
  readonly trackers: TrackerPool;
  readonly #replicas: ReplicaPool;
  readonly #agentOptions: Agent.Options;
  #agent: Promise<Agent> | undefined;
  readonly #domainText: string;
  readonly #domain: string;
  readonly #pathCache: PathCache | undefined;
  readonly #headersTimeoutMs: number;
  readonly #stallMs: number;

  constructor(options: ClientOptions) {
    this.trackers = createTrackerPool(options);
    this.#domainText = options.domain;
    this.#domain = toByteString(options.domain);
    const { pathCache } = options;
    this.#pathCache = pathCache?.entries ? new PathCache(pathCache) : undefined;
    this.#headersTimeoutMs = options.headersTimeoutMs ?? 10_000;
    this.#stallMs = options.stallMs ?? 30_000;
    const { storageConnectionsMax = 64, connectTimeoutMs = 2_000 } = options;
    const limits = { connectionsMax: storageConnectionsMax, connectTimeoutMs };
    this.#replicas = new ReplicaPool(limits);
    this.#agentOptions = {
      connections: storageConnectionsMax,
      connect: { timeout: connectTimeoutMs },
      // A Deadline bounds every wait; it alone knows who is waited for.
      headersTimeout: 0,
      bodyTimeout: 0,
    };
  }

  async put(key: Key, source: UploadSource, options: PutOptions = {}): Promise<StoredFile> {
    const { size, signal } = options;
    signal?.throwIfAborted();
    const bytes = bytesOf(key);
    // A close without a key is how the protocol gives an upload up.
    if (bytes === '') throw new OmgfsError('NO_KEY');
    const opened = await openSource(source, { size, signal });
    try {
      return await upload(
        { ...this.#context(), agent: await this.#uploads() },
        {
          key: bytes,
          className: toByteString(options.class ?? ''),
          source: opened,
          checksum: options.checksum,
          replacing: options.replacing,
          signal,
          onProgress: options.onProgress,
        },
      );
    } catch (error) {
      throw explained(error, { domain: this.#domainText, className: options.class });
    } finally {
      opened.close();
      this.#pathCache?.forget(bytes);
    }
  }

  async get(key: Key, options: GetOptions = {}): Promise<Download> {
    const { verify, range, signal } = options;
    if (!verify) return this.#open(key, options);
    if (range) throw new OmgfsError('BAD_ARGS', { message: 'a range cannot be verified' });
    for (let tries = 1; ; tries += 1) {
      const info = await this.info(key, signal ? { signal } : {});
      const found = await this.#open(key, options);
      const checksum = parseChecksum(info.checksum ?? '');
      if (checksum === undefined) return found;
      if (found.fid === undefined || found.fid === info.fid) {
        return verifiedDownload(found, checksum);
      }
      // Overwritten between the two questions.
      found.stream.destroy();
      this.#pathCache?.forget(bytesOf(key));
      if (tries === verifyTriesMax) {
        throw new OmgfsError('FAILURE', { message: 'the key is overwritten again and again' });
      }
    }
  }

  async #open(key: Key, { range, signal }: GetOptions): Promise<Download> {
    const find = () => this.paths(key, { count: pathCountMax, ...(signal ? { signal } : {}) });
    const paths = await find();
    try {
      return await download(this.#context(), { paths, range, signal });
    } catch (error) {
      if (toOmgfsError(error).code !== 'NO_REPLICA_UP') throw error;
      // The key may have been overwritten since, and the old bytes deleted: look once more.
      this.#pathCache?.forget(bytesOf(key));
      const fresh = await find();
      if (fresh.every((path) => paths.includes(path))) throw error;
      return download(this.#context(), { paths: fresh, range, signal });
    }
  }

  async paths(
    key: Key,
    options: { count?: number; verify?: boolean; signal?: AbortSignal } = {},
  ): Promise<string[]> {
    const { count = 2, verify = false, signal } = options;
    const bytes = bytesOf(key);
    const cache = verify ? undefined : this.#pathCache;
    const known = cache?.get(bytes, count);
    if (known !== undefined) return known;
    const args = { key: bytes, pathcount: count, noverify: verify ? 0 : 1 };
    const ask = async () => pathsOf(await this.#ask('get_paths', signal, args), count);
    return cache === undefined ? ask() : cache.find(bytes, count, ask);
  }

  async info(key: Key, options: { signal?: AbortSignal } = {}): Promise<FileInfo> {
    const args = { key: bytesOf(key), devices: 1 };
    const fields = await this.#ask('file_info', options.signal, args);
    return {
      fid: Number(fields.fid),
      domain: fromByteString(fields.domain ?? ''),
      class: fromByteString(fields.class ?? ''),
      key: fromByteString(fields.key ?? ''),
      length: Number(fields.length),
      devcount: Number(fields.devcount),
      ...(fields.checksum === undefined ? {} : { checksum: fields.checksum }),
      devids: (fields.devids ?? '')
        .split(',')
        .filter((devid) => devid !== '')
        .map(Number),
    };
  }

  async delete(key: Key, options: { signal?: AbortSignal } = {}): Promise<boolean> {
    const args = { key: bytesOf(key) };
    return this.#change(
      [args.key],
      (uncertain) =>
        this.#ask('delete', options.signal, args).then(
          () => true,
          (error: unknown) => {
            if (toOmgfsError(error).code !== 'UNKNOWN_KEY') throw error;
            return uncertain;
          },
        ),
      options.signal,
    );
  }

  async rename(from: Key, to: Key, options: { signal?: AbortSignal } = {}): Promise<void> {
    const args = { from_key: bytesOf(from), to_key: bytesOf(to) };
    await this.#change(
      [args.from_key, args.to_key],
      (uncertain) =>
        this.#ask('rename', options.signal, args).catch((error: unknown) => {
          // Gone after a try whose answer got lost: that try did it.
          if (!uncertain || toOmgfsError(error).code !== 'UNKNOWN_KEY') throw error;
        }),
      options.signal,
    );
  }

  async *list(options: ListOptions = {}): AsyncGenerator<string> {
    for await (const key of this.#listKeys(options)) yield fromByteString(key);
  }

  async *listBytes(options: ListOptions = {}): AsyncGenerator<Buffer> {
    for await (const key of this.#listKeys(options)) yield Buffer.from(key, 'latin1');
  }

  async close(): Promise<void> {
    this.#replicas.close(new OmgfsError('NO_REPLICA_UP', { message: 'the client is closed' }));
    const agent = this.#agent?.then((loaded) => loaded.destroy());
    await Promise.all([this.trackers.close(), agent]);
  }

  /** Loaded for the first upload: it takes 18 MiB, which who only reads needs for nothing. */
  #uploads(): Promise<Agent> {
    this.#agent ??= import('undici').then(({ Agent }) => new Agent(this.#agentOptions));
    return this.#agent;
  }

  #listKeys(options: ListOptions): AsyncGenerator<string> {
    const { prefix = '', after = '', delimiter = '', limit = Number.POSITIVE_INFINITY } = options;
    const ask = (args: object) => this.#ask('list_keys', options.signal, args);
    const texts = { prefix: bytesOf(prefix), after: bytesOf(after), delimiter: bytesOf(delimiter) };
    return listKeys(ask, { ...texts, limit });
  }

  /** Repeats a change whose answer got lost; the second try is told so. */
  async #change<T>(
    keys: readonly string[],
    attempt: (uncertain: boolean) => Promise<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    try {
      return await attempt(false);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof OmgfsError && error.details.uncertain === true)
        return await attempt(true);
      throw error;
    } finally {
      for (const key of keys) this.#pathCache?.forget(key);
    }
  }

  async #ask(command: string, signal: AbortSignal | undefined, args: object): Promise<Fields> {
    try {
      return await this.trackers.request(command, { domain: this.#domain, ...args }, { signal });
    } catch (error) {
      throw explained(error, { domain: this.#domainText });
    }
  }

  #context() {
    const { trackers: pool } = this;
    return {
      pool,
      replicas: this.#replicas,
      domain: this.#domain,
      headersTimeoutMs: this.#headersTimeoutMs,
      stallMs: this.#stallMs,
    };
  }
}

/** At most `count` paths of a reply; the protocol raises a smaller wish to two. */
function pathsOf(fields: Fields, count: number): string[] {
  const length = Math.min(Number(fields.paths ?? 0), count);
  const paths: string[] = [];
  for (let number = 1; number <= length; number += 1) paths.push(fields[`path${number}`] ?? '');
  return paths;
}

function bytesOf(key: Key): string {
  return typeof key === 'string' ? toByteString(key) : key.toString('latin1');
}
