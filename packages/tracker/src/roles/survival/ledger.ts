/**
 * What a query process notes down about its connections, so that they survive it: a file without a
 * name that the front opened. A write to it costs less than a microsecond and is the kernel's at
 * once, so what is noted stays when the process is killed. Rows change at the end of a turn of the
 * event loop, hence may be older than the truth; who reads them compares with the kernel's counts.
 */
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Account, Connection } from '../../server/connection.ts';

/** A connection as the front hands it to a query process. */
export interface Handed {
  /** Never used twice by one front. */
  id: number;
  /** Row of the ledger that the connection has there; free again when it is closed. */
  slot: number;
  /** Where its streams stood when it was handed over. */
  account: Account;
}

/** Numbers in a row: id, whether the connection can be taken over, and its account. */
const rowNumbers = 8;
const rowBytes = rowNumbers * 8;
/** Whole pages are written; rows never lie across two. */
const pageRows = 64;
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
    const row = new Float64Array(rowNumbers);
    readSync(this.fd, row, 0, rowBytes, slot * rowBytes);
    const [id = 0, known, read = 0, written = 0, owed = 0, midLine] = row;
    if (known !== 1) return { id, account: undefined };
    return { id, account: { read, written, owed, midLine: midLine === 1 } };
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
  #table = new Float64Array(pageRows * rowNumbers);

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
    for (const page of pages) {
      const at = page * pageBytes;
      writeSync(this.#fd, this.#table, at, pageBytes, at);
    }
  }

  #fill({ id, slot, account: before }: Handed, account: Account | undefined): void {
    const at = slot * rowNumbers;
    while (this.#table.length <= at) {
      const larger = new Float64Array(this.#table.length * 2);
      larger.set(this.#table);
      this.#table = larger;
    }
    const table = this.#table;
    table[at] = id;
    table[at + 1] = account === undefined ? 0 : 1;
    if (account === undefined) return;
    table[at + 2] = before.read + account.read;
    table[at + 3] = before.written + account.written;
    table[at + 4] = account.owed;
    table[at + 5] = account.midLine ? 1 : 0;
  }
}
