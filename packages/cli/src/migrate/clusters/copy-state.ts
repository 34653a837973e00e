/**
 * What a migration remembers of one domain: which version of each key it copied, and what became of
 * it at the target. Rows in byte order of keys, and a journal of what was done since; a run that is
 * killed loses nothing that it noted.
 */
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeText, encodeText } from '@omgfs/protocol';
import { LineLog, readLines } from '../rows/line-log.ts';
import { joinRows, type Row, readRows, SortedRows, writeRows } from '../rows/sorted-rows.ts';

export interface CopyRecord {
  /** Fid at the source and fid that the copy got; missing while the first copy is under way. */
  source?: number;
  target?: number;
  class?: string;
  /**
   * Fid at the source of a copy that was begun, with what is known of its bytes. It may be at the
   * target or not; a file there may as well be of somebody else.
   */
  begun?: number;
  length?: number;
  checksum?: string;
}

const gone = 'null';

export class CopyState {
  readonly #dir: string;
  readonly #rows: string;
  readonly #journal: string;
  #log: LineLog | undefined;

  constructor(dir: string) {
    this.#dir = dir;
    this.#rows = join(dir, 'copied.rows');
    this.#journal = join(dir, 'journal');
  }

  /**
   * Takes the journal into the rows. A kill between the last two steps does it once more, which
   * changes nothing.
   */
  async begin(): Promise<void> {
    await this.close();
    await mkdir(this.#dir, { recursive: true });
    const news = await SortedRows.from(rowsOf(this.#journal), { dir: this.#dir, name: 'journal' });
    if (news.count > 0) {
      await writeRows(`${this.#rows}.new`, merged(this.#old(), news), { flush: true });
      await rename(`${this.#rows}.new`, this.#rows);
    }
    await rm(this.#journal, { force: true });
    await news.remove();
    this.#log = await LineLog.open(this.#journal);
  }

  /** Records of all keys, as JSON, in byte order; of the time of `begin`. */
  rows(): AsyncIterable<Row> {
    return this.#old();
  }

  async isEmpty(): Promise<boolean> {
    const stats = await stat(this.#rows).catch(() => undefined);
    return stats === undefined || stats.size === 0;
  }

  /** @param record undefined when the key is gone from both clusters. */
  async note(key: string, record: CopyRecord | undefined): Promise<void> {
    const value = record === undefined ? gone : JSON.stringify(record);
    await this.#log?.append(`${encodeText(key)}\t${value}`);
  }

  async close(): Promise<void> {
    await this.#log?.close();
    this.#log = undefined;
  }

  async *#old(): AsyncGenerator<Row> {
    const there = await stat(this.#rows).catch(() => undefined);
    if (there !== undefined) yield* readRows(this.#rows);
  }
}

async function* rowsOf(journal: string): AsyncGenerator<Row> {
  for await (const line of readLines(journal)) {
    const tab = line.indexOf('\t');
    yield { key: decodeText(line.slice(0, tab)), value: line.slice(tab + 1) };
  }
}

async function* merged(old: AsyncIterable<Row>, news: AsyncIterable<Row>): AsyncGenerator<Row> {
  for await (const { key, left, right } of joinRows(old, news)) {
    const value = right ?? left ?? gone;
    if (value !== gone) yield { key, value };
  }
}
