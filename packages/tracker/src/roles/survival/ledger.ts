/**
 * What a query process notes down about its connections, so that they survive it: a file without a
 * name that the front opened. A write to it costs less than a microsecond and is the kernel's at
 * once, so what is noted stays when the process is killed. Rows change at the end of a turn of the
 * event loop, hence may be older than the truth; who reads them compares with the kernel's counts.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Account, accountTextMax, type Connection } from '../../server/connection.ts';

/** A connection as the front hands it to a query process. */
export interface Handed {
  /** Never used twice by one front. */
  id: number;
  /** Row of the ledger that the connection has there; free again when it is closed. */
  slot: number;
  /** Where its streams stood when it was handed over. */
  account: Account;
}

/**
 * A row: id, whether the connection can be taken over, its account in numbers, the length of the
 * text and one, or 0 for none; then the text.
 */
const rowNumbers = 8;
const textAt = rowNumbers * 8;
const rowBytes = textAt + accountTextMax;
/** Whole pages are written; rows never lie across two. */
const pageRows = 8;
const pageBytes = pageRows * rowBytes;

/** The front's end of a ledger. */
export class LedgerFile {
  readonly fd: number;

  constructor() {
    const dir = mkdtempSync(join(tmpdir(), 'omgfs-ledger-'));
    this.fd = openSync(join(dir, 'ledger'), 'w+', 0o600);
    rmSync(dir, { recursive: true });
  }

  /** @returns id 0 for a row that was never written. */
  row(slot: number): { id: number; account: Account | undefined } {
    const row = Buffer.alloc(rowBytes);
    readSync(this.fd, row, 0, rowBytes, slot * rowBytes);
    const numbers = new Float64Array(row.buffer, row.byteOffset, rowNumbers);
    const [id = 0, known, read = 0, written = 0, owed = 0, midLine, length = 0, started] = numbers;
    if (known !== 1) return { id, account: undefined };
    const text = length === 0 ? undefined : row.toString('latin1', textAt, textAt + length - 1);
    const flags = { midLine: midLine === 1, started: started === 1 };
    return { id, account: { read, written, owed, text, ...flags } };
  }

  close(): void {
    closeSync(this.fd);
  }
}

/** The query process's end: connections that changed are written at the end of the turn. */
export class LedgerWriter {
  readonly #fd: number;
  readonly #accountOf: (connection: Connection) => Account | undefined;
  readonly #handed = new Map<Connection, Handed>();
  #dirty: Connection[] = [];
  #table = new Float64Array(pageBytes / 8);
  #bytes = Buffer.from(this.#table.buffer);

  /** `accountOf` is undefined for connections that only this process can serve. */
  constructor(fd: number, accountOf: (connection: Connection) => Account | undefined) {
    this.#fd = fd;
    this.#accountOf = accountOf;
  }

  add(connection: Connection, handed: Handed): void {
    this.#handed.set(connection, handed);
    this.touch(connection);
  }

  /** @returns the id that the connection had. */
  remove(connection: Connection): number | undefined {
    const handed = this.#handed.get(connection);
    this.#handed.delete(connection);
    return handed?.id;
  }

  /** Something was read, answered or written. */
  touch(connection: Connection): void {
    if (this.#dirty.length === 0) setImmediate(() => this.flush());
    this.#dirty.push(connection);
  }

  flush(): void {
    const dirty = this.#dirty;
    this.#dirty = [];
    const pages = new Set<number>();
    for (const connection of dirty) {
      const handed = this.#handed.get(connection);
      if (handed === undefined) continue;
      this.#fill(handed, this.#accountOf(connection));
      pages.add(Math.floor(handed.slot / pageRows));
    }
    for (const [first, last] of runsOf(pages)) {
      const at = first * pageBytes;
      writeSync(this.#fd, this.#bytes, at, (last - first + 1) * pageBytes, at);
    }
  }

  #fill({ id, slot, account: before }: Handed, account: Account | undefined): void {
    const at = (slot * rowBytes) / 8;
    while (this.#table.length < (slot + 1) * (rowBytes / 8)) this.#grow();
    const table = this.#table;
    table[at] = id;
    table[at + 1] = account === undefined ? 0 : 1;
    if (account === undefined) return;
    table[at + 2] = before.read + account.read;
    table[at + 3] = before.written + account.written;
    table[at + 4] = account.owed;
    table[at + 5] = account.midLine ? 1 : 0;
    table[at + 6] = account.text === undefined ? 0 : account.text.length + 1;
    table[at + 7] = account.started === true ? 1 : 0;
    if (account.text) this.#bytes.write(account.text, slot * rowBytes + textAt, 'latin1');
  }

  #grow(): void {
    const larger = new Float64Array(this.#table.length * 2);
    larger.set(this.#table);
    this.#table = larger;
    this.#bytes = Buffer.from(larger.buffer);
  }
}

/** Pages that follow each other are written together. */
function runsOf(pages: Set<number>): [number, number][] {
  const runs: [number, number][] = [];
  for (const page of [...pages].sort((a, b) => a - b)) {
    const last = runs.at(-1);
    if (last?.[1] === page - 1) last[1] = page;
    else runs.push([page, page]);
  }
  return runs;
}
