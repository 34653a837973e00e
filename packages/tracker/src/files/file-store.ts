/**
 * Files as a whole, for HTTP: facts, bytes in and out, keys and folders. It runs the commands that
 * clients run and moves the bytes itself, so whatever holds for a client of the line protocol holds
 * here: an upload is seen when it is closed, and not before (I1, I3). Domains, classes and keys are
 * byte strings. Memory is a few buffers for each transfer (I7).
 */
import type { Readable } from 'node:stream';
import {
  type DigestCheck,
  formatChecksum,
  listOf,
  OmgfsError,
  parseFidPath,
  valuesOf,
} from '@omgfs/protocol';
import { Agent } from 'undici';
import type { CallCommand } from '../commands/command.ts';
import { descriptionArguments } from '../commands/description.ts';
import {
  argumentsOf,
  type Description,
  describingArguments,
  etagOf,
  type FileFacts,
  type FilePlace,
  factsOf,
} from './file-facts.ts';
import { openReplicas } from './replica-reader.ts';
import { ResumableUploads } from './resumable-uploads.ts';
import { type Run, type Written, writeUpload } from './writer.ts';

export interface FileStoreOptions {
  call: CallCommand;
  /** For a connection to a storage node, and for its first answer. */
  connTimeoutMs: number;
  nodeTimeoutMs: number;
}

export interface PutOptions extends Description {
  /** Byte string; empty for the default class. */
  class?: string | undefined;
  /** Bytes that must come; undefined when nobody knows. */
  length?: number | undefined;
  /** At most so many bytes; by default no limit. */
  bytesMax?: number | undefined;
  /** Devices that shall have stored it before the answer, 1 to 3. */
  replicas?: number | undefined;
  /** How long to wait for them when the bytes are stored on fewer, in seconds; by default 10. */
  wait?: number | undefined;
  /** What was announced of the bytes. */
  digests?: DigestCheck | undefined;
  /** The upload in parts that becomes this file, unless it has become one already. */
  upload?: string | undefined;
  /** Store only when the key stands for this fid, or with 0 for none. */
  replacing?: number | undefined;
}

export interface StoredFile {
  fid: number;
  length: number;
  etag: string;
  devcount: number;
}

export interface Page {
  files: FileFacts[];
  /** Prefixes up to and with the delimiter that stand for all keys below. */
  folders: string[];
  /** Where the next page begins; undefined after the last one. A page may be short before. */
  after: string | undefined;
}

export interface FileStore {
  /** @throws UNREG_DOMAIN, NO_KEY, UNKNOWN_KEY. */
  stat(place: FilePlace): Promise<FileFacts>;
  /**
   * Decides and reads by one version: runs `use` with what the key stands for, and anew when that
   * answers undefined, because the key stands for another file by then.
   * @throws as `stat`; TRACKER_BUSY when it is replaced time and again; what `use` throws.
   */
  withFile<T>(place: FilePlace, use: (facts: FileFacts) => Promise<T | undefined>): Promise<T>;
  /**
   * Where this version can be read by `address`, an IP address, best place first; undefined when
   * the key stands for another one.
   */
  paths(
    facts: FileFacts,
    request: { count: number; address: string },
  ): Promise<string[] | undefined>;
  /**
   * Opens this version from byte `start` to `end`, by default all of it; undefined when the key
   * stands for another one. The stream fails with NO_REPLICA_UP when all replicas break on the way.
   * @throws NO_REPLICA_UP.
   */
  open(
    facts: FileFacts,
    options?: { start?: number; end?: number; signal?: AbortSignal },
  ): Promise<Readable | undefined>;
  /**
   * Stores what `body` yields; the key stands for the old file until all of it is stored, and for
   * ever when that fails.
   * @throws UNREG_DOMAIN, UNREG_CLASS, NO_KEY, KEY_TOO_LONG, NO_DEVICES, DEVICE_DOWN,
   * SIZE_MISMATCH, BAD_DIGEST, PRECONDITION_FAILED, BODY_TOO_LARGE; what `body` throws.
   */
  put(place: FilePlace, body: AsyncIterable<Uint8Array>, options?: PutOptions): Promise<StoredFile>;
  /** With `fid`, only while the key stands for that. @throws UNKNOWN_KEY. */
  remove(place: FilePlace, fid?: number): Promise<void>;
  /** With `overwrite`, readers see the old file or this one. @throws UNKNOWN_KEY, KEY_EXISTS. */
  rename(request: { domain: string; from: string; to: string; overwrite?: boolean }): Promise<void>;
  /**
   * Renames all files whose keys begin with `from`, or none; only onto a prefix of no file.
   * @throws UNKNOWN_KEY, KEY_EXISTS, KEY_TOO_LONG, TOO_MANY_KEYS.
   */
  renamePrefix(request: { domain: string; from: string; to: string }): Promise<void>;
  /** Names of all domains. */
  domains(): Promise<string[]>;
  /** Files below a prefix in the order of their keys, strictly after a key. */
  list(
    domain: string,
    request?: {
      prefix?: string | undefined;
      /** Keys that have it behind the prefix are shown as one folder. */
      delimiter?: string | undefined;
      after?: string | undefined;
      limit?: number | undefined;
    },
  ): Promise<Page>;
  /** Files that come in parts. */
  readonly uploads: ResumableUploads;
  close(): Promise<void>;
}

/** The tracker is its own client. */
const ownAddress = '127.0.0.1';
/** A transfer that makes no progress for so long is given up. */
const stallMs = 45_000;
const pathsMax = 16;
/** How often a file is looked up again that is replaced in between. */
const looksMax = 5;

/** How long a connection to a storage node is kept for the next transfer. */
const idleMs = 4_000;

export function createFileStore(options: FileStoreOptions): FileStore {
  return new CommandFileStore(options);
}

class CommandFileStore implements FileStore {
  readonly #call: CallCommand;
  readonly #agent: Agent;
  readonly #answerMs: number;
  readonly uploads: ResumableUploads;

  constructor({ call, connTimeoutMs, nodeTimeoutMs }: FileStoreOptions) {
    this.#call = call;
    this.#answerMs = connTimeoutMs + nodeTimeoutMs;
    // As many connections as transfers: a slow client must not hold up another's node.
    // For an aborted request undici connects once more, and would keep that as long as the node
    // allows, a minute.
    this.#agent = new Agent({ connect: { timeout: connTimeoutMs }, keepAliveMaxTimeout: idleMs });
    this.uploads = new ResumableUploads({
      ...{ run: this.#run, agent: this.#agent, answerMs: this.#answerMs },
      put: (place, body, options) => this.put(place, body, options),
    });
  }

  /** Runs a command as this tracker. */
  readonly #run: Run = (command, args) =>
    this.#call({ command, args: argumentsOf(args), address: ownAddress });

  async stat({ domain, key }: FilePlace): Promise<FileFacts> {
    return factsOf(await this.#run('file_info', { domain, key, described: 1 }));
  }

  async withFile<T>(
    place: FilePlace,
    use: (facts: FileFacts) => Promise<T | undefined>,
  ): Promise<T> {
    for (let look = 1; look <= looksMax; look += 1) {
      const done = await use(await this.stat(place));
      if (done !== undefined) return done;
    }
    const message = 'The file is replaced faster than it can be read; ask again.';
    throw new OmgfsError('TRACKER_BUSY', { message });
  }

  async paths(
    { domain, key, fid }: FileFacts,
    { count, address }: { count: number; address: string },
  ): Promise<string[] | undefined> {
    const args = argumentsOf({ domain, key, noverify: 1, pathcount: count });
    const reply = await this.#call({ command: 'get_paths', args, address });
    const paths = valuesOf(reply, { prefix: 'path', total: reply.paths ?? 0 }).map(String);
    const others = paths.some((path) => parseFidPath(new URL(path).pathname)?.fid !== fid);
    return others ? undefined : paths;
  }

  async open(
    facts: FileFacts,
    { start = 0, end = facts.length - 1, signal }: Parameters<FileStore['open']>[1] = {},
  ): Promise<Readable | undefined> {
    const paths = await this.paths(facts, { count: pathsMax, address: ownAddress });
    if (paths === undefined) return undefined;
    const { length } = facts;
    const range = { length, start, end };
    const options = { paths, ...range, answerMs: this.#answerMs, stallMs, signal };
    try {
      return await openReplicas(this.#agent, options);
    } catch (error) {
      // What was replaced is deleted soon.
      if (!signal?.aborted && (await this.stat(facts)).fid !== facts.fid) return undefined;
      throw error;
    }
  }

  async put(
    place: FilePlace,
    body: AsyncIterable<Uint8Array>,
    options: PutOptions = {},
  ): Promise<StoredFile> {
    if (place.key === '') throw new OmgfsError('NO_KEY');
    // What would be refused in the end is refused before the first byte.
    descriptionArguments(describingArguments(options));
    // What came in parts gets as many copies at once as its parts had.
    const { replicas = options.upload === undefined ? 1 : undefined } = options;
    const upload = { place, body, options: { ...options, copies: replicas } };
    return writeUpload({ run: this.#run, agent: this.#agent }, upload, async (written) => {
      const { fid, bytes } = written;
      const devcount = await this.#close(place, written, options);
      return { fid, length: bytes, etag: etagOf({ fid, length: bytes }), devcount };
    });
  }

  async remove({ domain, key }: FilePlace, fid?: number): Promise<void> {
    await this.#run('delete', { domain, key, fid });
  }

  async rename(request: Parameters<FileStore['rename']>[0]): Promise<void> {
    const { domain, from, to, overwrite = false } = request;
    const args = { domain, from_key: from, to_key: to };
    await this.#run('rename', { ...args, overwrite: overwrite ? 1 : undefined });
  }

  async renamePrefix(request: { domain: string; from: string; to: string }): Promise<void> {
    const { domain, from, to } = request;
    await this.#run('rename_prefix', { domain, from_prefix: from, to_prefix: to, free: 1 });
  }

  async domains(): Promise<string[]> {
    const reply = await this.#run('get_domains', {});
    return valuesOf(reply, { prefix: 'domain', total: reply.domains ?? 0 }).map(String);
  }

  async list(domain: string, request: Parameters<FileStore['list']>[1] = {}): Promise<Page> {
    const { prefix, delimiter, after, limit } = request;
    const reply = await this.#run('list_files', { domain, prefix, delimiter, after, limit });
    const files = listOf(reply, { prefix: 'file_', total: reply.file_count ?? 0 });
    const folders = valuesOf(reply, { prefix: 'folder_', total: reply.folder_count ?? 0 });
    const next = reply.next_after;
    return {
      files: files.map((file) => factsOf({ ...file, domain })),
      folders: folders.map(String),
      after: typeof next === 'string' ? next : undefined,
    };
  }

  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** Makes the upload the file of its key. @returns on how many devices it is. */
  async #close(
    { domain, key }: FilePlace,
    { fid, stored, left, bytes, checksum }: Written,
    options: PutOptions,
  ): Promise<number> {
    const [first, ...others] = stored;
    const places = others.map(({ devid, url }, at) => {
      return { [`devid_${at + 2}`]: devid, [`path_${at + 2}`]: url };
    });
    const { replicas = 1, wait, replacing, upload } = options;
    const { devcount } = await this.#run('create_close', {
      ...{ domain, key, fid, devid: first?.devid, path: first?.url, size: bytes },
      ...{ replicas, wait, replacing, upload, checksum: checksum && formatChecksum(checksum) },
      left: left.join(' ') || undefined,
      ...Object.assign({}, describingArguments(options), ...places),
    });
    return Number(devcount);
  }
}
