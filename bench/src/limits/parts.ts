/**
 * What storing a file cannot do without, and nothing else: three lines sent and echoed for the
 * requests (open, PUT, close), the bare disk write, and the rows that an open and a close change,
 * by as few statements as can carry all files of a moment. No protocol, no checks, no handing of
 * bytes from process to process. What it reaches on a machine is more than any store can there.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type Connection, createConnection, type ResultSetHeader } from 'mysql2/promise';
import { LineConnection } from '../load/line-connection.ts';
import type { Session } from '../load/turn.ts';
import type { NamedProcess } from '../report/processes.ts';
import type { DiskLimit } from './disk.ts';

const tables = ['omg_bench_open', 'omg_bench_file', 'omg_bench_on'] as const;
const [openTable, fileTable, onTable] = tables;
const columns = {
  [openTable]: 'fid INT UNSIGNED NOT NULL PRIMARY KEY AUTO_INCREMENT, dkey VARBINARY(255)',
  [fileTable]: 'fid INT UNSIGNED NOT NULL PRIMARY KEY, dkey VARBINARY(255), UNIQUE (dkey)',
  [onTable]: 'fid INT UNSIGNED NOT NULL, devid INT, PRIMARY KEY (fid, devid), INDEX (devid)',
};
/** As long as a usual request. */
const line = `${'x'.repeat(100)}\n`;
const linesPerFile = 3;

export interface PartsLimit {
  processes: NamedProcess[];
  /** Every caller stores files of `bytes` bytes, one after the other. */
  open(options: { bytes: number; callers: number }): Promise<Session>;
  close(): Promise<void>;
}

/** Starts the echo server and makes the tables. @throws Error of what cannot be used. */
export async function prepareParts(uri: string, disk: DiskLimit): Promise<PartsLimit> {
  const admin = await createConnection({ uri });
  for (const table of tables) {
    await admin.query(`DROP TABLE IF EXISTS ${table}`);
    await admin.query(`CREATE TABLE ${table} (${columns[table]}) ENGINE=InnoDB`);
  }
  const child: ChildProcess = fork(
    fileURLToPath(new URL('../bin/echo-server.js', import.meta.url)),
  );
  const [port] = (await once(child, 'message')) as [number];
  return {
    processes: [{ name: 'echo', pid: child.pid ?? 0 }],
    open: ({ bytes, callers }) => openParts({ uri, disk, port, bytes, callers }),
    close: async () => {
      child.kill();
      await admin.query(`DROP TABLE ${tables.join()}`);
      await admin.end();
    },
  };
}

async function openParts(facts: {
  uri: string;
  disk: DiskLimit;
  port: number;
  bytes: number;
  callers: number;
}): Promise<Session> {
  const { uri, disk, port, bytes, callers } = facts;
  const [forOpens, forCloses, files, ...lines] = await Promise.all([
    createConnection({ uri }),
    createConnection({ uri }),
    disk.open(bytes),
    ...Array.from({ length: callers }, () => LineConnection.open({ host: '127.0.0.1', port })),
  ]);
  const opens = new Together<number>((count) => insertOpen(forOpens, count));
  const closes = new Together<undefined, number>((_, fids) => close(forCloses, fids));
  return {
    run: async (caller) => {
      for (let count = 0; count < linesPerFile; count += 1) await lines[caller]?.exchange(line);
      const fid = await opens.run(undefined);
      await files.run(caller);
      await closes.run(fid);
    },
    close: async () => {
      for (const one of lines) one.close();
      forOpens.destroy();
      forCloses.destroy();
      await files.close();
    },
  };
}

async function insertOpen(connection: Connection, count: number): Promise<number[]> {
  const rows = Array(count).fill("('key')").join();
  const [done] = await connection.query<ResultSetHeader>(
    `INSERT INTO ${openTable} (dkey) VALUES ${rows}`,
  );
  return Array.from({ length: count }, (_, at) => done.insertId + at);
}

async function close(connection: Connection, fids: readonly number[]): Promise<undefined[]> {
  await connection.query('BEGIN');
  await connection.query(`DELETE FROM ${openTable} WHERE fid IN (${fids.join()})`);
  await connection.query(
    `INSERT INTO ${onTable} (fid, devid) VALUES ${fids.map((fid) => `(${fid}, 1)`).join()}`,
  );
  const files = fids.map((fid) => `(${fid}, 'key-${fid}')`);
  await connection.query(`INSERT INTO ${fileTable} (fid, dkey) VALUES ${files.join()}`);
  await connection.query('COMMIT');
  return fids.map(() => undefined);
}

/** Carries what comes while one is under way by the next. */
class Together<Result, Request = undefined> {
  readonly #send: (count: number, requests: Request[]) => Promise<Result[]>;
  #waiting: { request: Request; done: (result: Result) => void; failed: (e: unknown) => void }[] =
    [];
  #busy = false;

  constructor(send: (count: number, requests: Request[]) => Promise<Result[]>) {
    this.#send = send;
  }

  run(request: Request): Promise<Result> {
    return new Promise((done, failed) => {
      this.#waiting.push({ request, done, failed });
      if (!this.#busy) void this.#drain();
    });
  }

  async #drain(): Promise<void> {
    this.#busy = true;
    // What comes in the same turn of the event loop goes along.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) {
      const all = this.#waiting;
      this.#waiting = [];
      try {
        const requests = all.map(({ request }) => request);
        const results = await this.#send(all.length, requests);
        for (const [at, { done }] of all.entries()) done(results[at] as Result);
      } catch (error) {
        for (const { failed } of all) failed(error);
      }
    }
    this.#busy = false;
  }
}
