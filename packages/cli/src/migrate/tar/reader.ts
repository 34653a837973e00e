/**
 * Reads tar archives that may come from anywhere: only files and directories with relative names
 * are let through, and nothing is taken for true that the bytes do not bear out.
 */
import { fromByteString, OmgfsError } from '@omgfs/protocol';
import { printable } from '../../output.ts';
import type { TarBytes } from './bytes.ts';
import { blockBytes, decodeBlock, decodePax, type Header, paddingOf } from './header.ts';

export interface TarFile {
  /** A byte string: relative, without `.` and `..`. */
  name: string;
  length: number;
  /** Where its first header and its bytes begin in the archive. */
  headerAt: number;
  bodyAt: number;
  /** Of its pax header. */
  comment: string | undefined;
}

/** Longest pax header or long name; what is longer is no honest one. */
const metadataBytesMax = 1024 * 1024;
const chunkBytes = 256 * 1024;

const refusedTypes: Readonly<Record<string, string>> = {
  1: 'a hard link',
  2: 'a symbolic link',
  3: 'a device',
  4: 'a device',
  6: 'a pipe',
  S: 'a sparse file',
};

export class TarReader {
  readonly #bytes: TarBytes;
  readonly #archive: string;
  /** Of the body of the current file, with its padding. */
  #left = 0;
  #bodyLeft = 0;
  /** Of the global pax header. */
  comment: string | undefined;

  /** @param archive name for messages. */
  constructor(bytes: TarBytes, archive: string) {
    this.#bytes = bytes;
    this.#archive = archive;
  }

  /**
   * The next file; undefined at the end. What was not read of the body before is passed over.
   * @throws BAD_ARGS.
   */
  async next(): Promise<TarFile | undefined> {
    await this.#pass(this.#left);
    let headerAt = this.#bytes.position;
    let pax = new Map<string, string>();
    let longName: string | undefined;
    for (;;) {
      const header = await this.#header();
      if (header === undefined) return undefined;
      const { type, length } = header;
      if (type === 'x' || type === 'g') {
        const records = decodePax(await this.#metadata(length));
        if (records === undefined) throw this.#bad('a pax header is damaged');
        if (type === 'x') pax = records;
        else this.comment = records.get('comment') ?? this.comment;
        // What is said of the archive is not part of a file.
        if (type === 'g') headerAt = this.#bytes.position;
      } else if (type === 'L' || type === 'K') {
        const text = (await this.#metadata(length)).toString('latin1').replace(/\0.*$/s, '');
        if (type === 'L') longName = text;
      } else {
        const file = this.#fileOf({ header, pax, longName });
        if (file !== undefined) return { ...file, headerAt };
        pax = new Map();
        longName = undefined;
        headerAt = this.#bytes.position;
      }
    }
  }

  /** The bytes of the current file. @throws BAD_ARGS when the archive ends before. */
  async *body(): AsyncGenerator<Buffer> {
    while (this.#bodyLeft > 0) {
      const chunk = await this.#bytes.read(Math.min(this.#bodyLeft, chunkBytes));
      if (chunk.length === 0) throw this.#cutOff();
      this.#bodyLeft -= chunk.length;
      this.#left -= chunk.length;
      yield chunk;
    }
  }

  /** Undefined for a directory. */
  #fileOf(parts: {
    header: Header;
    pax: Map<string, string>;
    longName: string | undefined;
  }): Omit<TarFile, 'headerAt'> | undefined {
    const { header, pax, longName } = parts;
    const name = pax.get('path') ?? longName ?? header.name;
    const size = pax.get('size');
    const length = size === undefined ? header.length : Number(size);
    if (!Number.isSafeInteger(length) || length < 0 || !/^\d*$/.test(size ?? '')) {
      throw this.#bad(`'${shown(name)}' has no valid size`);
    }
    const plain = this.#relative(name);
    const sparse = [...pax.keys()].some((record) => record.startsWith('GNU.sparse.'));
    const kind = sparse ? refusedTypes.S : refusedTypes[header.type];
    if (kind !== undefined) {
      throw this.#bad(`'${shown(name)}' is ${kind}; an export holds only files`);
    }
    if (!['0', '\0', '7', '5'].includes(header.type)) {
      throw this.#bad(`'${shown(name)}' is of the unknown type '${shown(header.type)}'`);
    }
    // Archives older than POSIX mark directories by the name alone.
    if (header.type === '5' || name.endsWith('/')) return undefined;
    this.#bodyLeft = length;
    this.#left = length + paddingOf(length);
    return { name: plain, length, bodyAt: this.#bytes.position, comment: pax.get('comment') };
  }

  /** @throws BAD_ARGS for a name that leads out of the archive. */
  #relative(name: string): string {
    const segments = name.split('/').filter((segment) => segment !== '' && segment !== '.');
    if (name.startsWith('/') || segments.includes('..') || name.includes('\0')) {
      throw this.#bad(`'${shown(name)}' leads out of the archive`);
    }
    return segments.join('/');
  }

  /** The next header; undefined at the end of the archive. */
  async #header(): Promise<Header | undefined> {
    const at = this.#bytes.position;
    const block = await this.#full(blockBytes);
    if (block.every((byte) => byte === 0)) {
      // The writer may fill the last record; let it.
      while ((await this.#bytes.read(chunkBytes)).length > 0);
      return undefined;
    }
    const header = decodeBlock(block);
    if (header === undefined) throw this.#bad(`there is no tar header at byte ${at}`);
    return header;
  }

  async #metadata(length: number): Promise<Buffer> {
    if (length > metadataBytesMax) throw this.#bad('a name or pax header is too long');
    const body = await this.#full(length);
    await this.#pass(paddingOf(length));
    return body;
  }

  async #full(count: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for (let left = count; left > 0; ) {
      const piece = await this.#bytes.read(left);
      if (piece.length === 0) throw this.#cutOff();
      pieces.push(piece);
      left -= piece.length;
    }
    return Buffer.concat(pieces);
  }

  async #pass(count: number): Promise<void> {
    this.#left = 0;
    this.#bodyLeft = 0;
    if (!(await this.#bytes.skip(count))) throw this.#cutOff();
  }

  #cutOff(): OmgfsError {
    return this.#bad('it is cut off');
  }

  #bad(why: string): OmgfsError {
    return new OmgfsError('BAD_ARGS', { message: `${this.#archive}: ${why}` });
  }
}

function shown(name: string): string {
  return printable(fromByteString(name));
}
