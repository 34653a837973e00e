/**
 * Any number of rows in byte order of their keys, in bounded memory: sorted pieces go to files that
 * are merged while they are read. Clusters list keys in the order of their databases, which is not
 * always that of bytes, and files are finished in no order; two sorted passes can be compared.
 */
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { decodeText, encodeText } from '@omgfs/protocol';
import { linesOf } from './lines.ts';

export interface Row {
  /** A byte string. */
  key: string;
  /** Text without line ends. */
  value: string;
}

/** What a piece that is sorted in memory may hold. */
const pieceCharactersMax = 8 * 1024 * 1024;
/** Files that are read at once. */
const filesAtOnceMax = 64;

export class SortedRows implements AsyncIterable<Row> {
  /** Rows that came in, those of the same key counted each. */
  readonly count: number;
  readonly #files: readonly string[];
  readonly #memory: readonly Row[];

  private constructor(parts: { count: number; files: string[]; memory: Row[] }) {
    this.count = parts.count;
    this.#files = parts.files;
    this.#memory = parts.memory;
  }

  /** Of rows with the same key, the last one stays. Files are put into `dir`, which is made. */
  static async from(
    rows: AsyncIterable<Row> | Iterable<Row>,
    { dir, name }: { dir: string; name: string },
  ): Promise<SortedRows> {
    let count = 0;
    let files: string[] = [];
    let piece: Row[] = [];
    let characters = 0;
    let written = 0;
    const spill = async (from: AsyncIterable<Row> | Iterable<Row>) => {
      written += 1;
      const file = join(dir, `${name}.${written}.rows`);
      await writeRows(file, from);
      return file;
    };
    for await (const row of rows) {
      count += 1;
      piece.push(row);
      characters += row.key.length + row.value.length + 64;
      if (characters < pieceCharactersMax) continue;
      if (files.length === 0) await mkdir(dir, { recursive: true });
      files.push(await spill(sorted(piece)));
      piece = [];
      characters = 0;
    }
    while (files.length > filesAtOnceMax) {
      // Neighbours are merged, so that of equal keys the later one stays later.
      const fewer: string[] = [];
      for (let at = 0; at < files.length; at += filesAtOnceMax) {
        const group = files.slice(at, at + filesAtOnceMax);
        fewer.push(await spill(merge(group.map(readRows))));
        for (const file of group) await rm(file);
      }
      files = fewer;
    }
    return new SortedRows({ count, files, memory: sorted(piece) });
  }

  [Symbol.asyncIterator](): AsyncIterator<Row> {
    return merge([...this.#files.map(readRows), fromArray(this.#memory)]);
  }

  /** Removes the files. */
  async remove(): Promise<void> {
    for (const file of this.#files) await rm(file, { force: true });
  }
}

/** Rows of two passes with the same key together; both must be in byte order. */
export async function* joinRows(
  one: AsyncIterable<Row>,
  other: AsyncIterable<Row>,
): AsyncGenerator<{ key: string; left: string | undefined; right: string | undefined }> {
  const lefts = one[Symbol.asyncIterator]();
  const rights = other[Symbol.asyncIterator]();
  try {
    let left = await lefts.next();
    let right = await rights.next();
    while (!left.done || !right.done) {
      const order = left.done ? 1 : right.done ? -1 : compare(left.value, right.value);
      yield {
        key: (order <= 0 ? left : right).value.key,
        left: order <= 0 ? left.value.value : undefined,
        right: order >= 0 ? right.value.value : undefined,
      };
      if (order <= 0) left = await lefts.next();
      if (order >= 0) right = await rights.next();
    }
  } finally {
    await lefts.return?.();
    await rights.return?.();
  }
}

/** Rows of a file of `writeRows`. */
export async function* readRows(file: string): AsyncGenerator<Row> {
  for await (const line of linesOf(createReadStream(file))) {
    const tab = line.indexOf('\t');
    yield { key: decodeText(line.slice(0, tab)), value: line.slice(tab + 1) };
  }
}

/** Writes one line a row; with `flush` the file is on the disk when this resolves. */
export async function writeRows(
  file: string,
  rows: AsyncIterable<Row> | Iterable<Row>,
  { flush = false }: { flush?: boolean } = {},
): Promise<void> {
  await pipeline(Readable.from(textOf(rows)), createWriteStream(file, { flush }));
}

async function* textOf(rows: AsyncIterable<Row> | Iterable<Row>): AsyncGenerator<string> {
  let text = '';
  for await (const { key, value } of rows) {
    text += `${encodeText(key)}\t${value}\n`;
    if (text.length < 65_536) continue;
    yield text;
    text = '';
  }
  if (text !== '') yield text;
}

async function* fromArray(rows: readonly Row[]): AsyncGenerator<Row> {
  yield* rows;
}

function sorted(rows: Row[]): Row[] {
  return rows.sort(compare);
}

function compare(one: Row, other: Row): number {
  return one.key < other.key ? -1 : one.key > other.key ? 1 : 0;
}

/** Of equal keys only the last one of the last source. */
async function* merge(sources: readonly AsyncGenerator<Row>[]): AsyncGenerator<Row> {
  try {
    const heads = await Promise.all(sources.map(async (source) => (await source.next()).value));
    for (;;) {
      let best: Row | undefined;
      for (const head of heads) {
        if (head !== undefined && (best === undefined || compare(head, best) < 0)) best = head;
      }
      if (best === undefined) return;
      let last: Row = best;
      for (const [at, source] of sources.entries()) {
        for (let head = heads[at]; head?.key === best.key; head = heads[at]) {
          last = head;
          heads[at] = (await source.next()).value;
        }
      }
      yield last;
    }
  } finally {
    for (const source of sources) await source.return(undefined);
  }
}
