/**
 * A cluster under load for the fault runs of the jobs: writers that store, overwrite and delete,
 * what they were told, and the verifier of the product as the judge afterwards.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type LocalCluster, type LocalClusterOptions, startLocalCluster } from '@omgfs/cli';
import { type Client, createClient } from '@omgfs/client';
import type { Fields } from '@omgfs/protocol';
import type { Connection, RowDataPacket } from 'mysql2/promise';
import { runOmgfs } from './command-line.ts';
import { connectTo, createDatabaseOn, dsnOf, type MySqlAddress } from './mariadb.ts';
import { RawClient } from './raw-client.ts';
import { until } from './wait.ts';

const domain = 'jobs';
/** Of files whose checksum the database keeps. */
export const checkedClass = 'sums';
/** `nexttry` of a row that waits for somebody (spec §3.3). */
const endOfTime = 2_147_483_647;

/** Stores, overwrites and deletes until told to stop; keeps what was acknowledged. */
class Writers {
  /** Checksum by key; null for a deleted one. */
  readonly acknowledged = new Map<string, { length: number; md5: string } | null>();
  done = 0;
  readonly #client: Client;
  #stopping = false;
  #work: Promise<void>[] = [];
  #storms = 0;

  constructor(client: Client) {
    this.#client = client;
  }

  begin(count: number): void {
    this.#stopping = false;
    this.#storms += 1;
    const storm = this.#storms;
    this.#work = Array.from({ length: count }, (_, writer) => this.#run(`${storm}/${writer}`));
  }

  async end(): Promise<void> {
    this.#stopping = true;
    await Promise.all(this.#work);
  }

  /** @throws OmgfsError; then nobody knows what the key is, so nothing is expected of it. */
  async put(key: string, body: Buffer): Promise<void> {
    this.acknowledged.delete(key);
    await this.#client.put(key, body, { class: checkedClass, checksum: 'MD5' });
    const md5 = createHash('md5').update(body).digest('hex');
    this.acknowledged.set(key, { length: body.length, md5 });
  }

  /** @throws OmgfsError; see `put`. */
  async delete(key: string): Promise<void> {
    this.acknowledged.delete(key);
    await this.#client.delete(key);
    this.acknowledged.set(key, null);
  }

  async #run(name: string): Promise<void> {
    let kept: string[] = [];
    for (let turn = 0; !this.#stopping; turn += 1) {
      const old = kept[0];
      const change = turn % 4;
      const key = change === 2 && old !== undefined ? old : `${name}/${turn}`;
      try {
        if (change === 3 && old !== undefined) {
          kept = kept.slice(1);
          await this.delete(old);
        } else {
          await this.put(key, randomBytes(1 + Math.floor(Math.random() ** 4 * 100_000)));
          if (key !== old) kept.push(key);
        }
        this.done += 1;
      } catch {
        kept = kept.filter((one) => one !== key);
      }
    }
  }
}

/** Two trackers and three hosts on a database of their own. */
export class JobSite {
  readonly cluster: LocalCluster;
  readonly client: Client;
  readonly writers: Writers;
  readonly #connect: () => Promise<Connection>;

  private constructor(cluster: LocalCluster, connect: () => Promise<Connection>) {
    this.cluster = cluster;
    this.client = createClient({ trackers: cluster.trackers, domain });
    this.writers = new Writers(this.client);
    this.#connect = connect;
  }

  static async start(
    server: MySqlAddress,
    options: Partial<LocalClusterOptions> = {},
  ): Promise<JobSite> {
    const database = await createDatabaseOn(server);
    const cluster = await startLocalCluster({
      ...{ hosts: 3, devicesPerHost: 2, trackers: 2, domain },
      ...{ dsn: dsnOf(server, database), dbUser: server.user, dbPass: server.password },
      ...options,
    });
    const site = new JobSite(cluster, () => connectTo(server, database));
    await site.call('create_class', {
      ...{ domain, class: checkedClass, mindevcount: 2, hashtype: 'MD5' },
    });
    await until('every tracker to know the class', async () => {
      const reloads = cluster.trackers.map((_, at) => site.call('clear_cache', {}, at));
      return (await Promise.all(reloads)).length > 0;
    });
    return site;
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.cluster.stop();
  }

  /** One request to one of the trackers. @throws Error with the line of an ERR. */
  async call(command: string, args: Record<string, string | number> = {}, at = 0): Promise<Fields> {
    const raw = new RawClient(this.cluster.trackers[at] ?? '');
    return await raw.call(command, args).finally(() => raw.close());
  }

  async rows(sql: string, values: readonly (string | number)[] = []): Promise<RowDataPacket[]> {
    const connection = await this.#connect();
    try {
      const [rows] = await connection.query<RowDataPacket[]>(sql, [...values]);
      return rows;
    } finally {
      connection.destroy();
    }
  }

  /** Holds the rows that SELECTs find against everybody else. @returns what lets go of them. */
  async hold(...selects: string[]): Promise<() => Promise<void>> {
    const connection = await this.#connect();
    await connection.query('BEGIN');
    for (const select of selects) await connection.query(`${select} FOR UPDATE`);
    return async () => {
      await connection.query('ROLLBACK');
      connection.destroy();
    };
  }

  /** Lets the writers work while `fault` happens, and some time before and after it. */
  async storm(fault: () => Promise<void>): Promise<void> {
    const progress = async (what: string) => {
      const before = this.writers.done;
      await until(what, () => this.writers.done > before + 60);
    };
    this.writers.begin(6);
    try {
      await progress('writers to make progress before the fault');
      await fault();
      await progress('writers to make progress after the fault');
    } finally {
      await this.writers.end();
    }
  }

  /**
   * I5: every queue drains. Back-offs are cut short, so that nobody waits for them, but no claims
   * of killed trackers (I9); a row that is parked stays and fails this.
   */
  async settle(): Promise<void> {
    await until(
      'the queues to drain',
      async () => {
        for (const queue of ['file_to_replicate', 'file_to_delete2']) {
          await this.rows(
            `UPDATE ${queue} SET nexttry = 0
             WHERE failcount > 0 AND nexttry > UNIX_TIMESTAMP() AND nexttry <> ?`,
            [endOfTime],
          );
        }
        const [left] = await this.rows(
          `SELECT (SELECT COUNT(*) FROM file_to_replicate) AS copies,
            (SELECT COUNT(*) FROM file_to_delete2) AS deletions`,
        );
        if (left?.copies === 0 && left.deletions === 0) return true;
        throw new Error(`left: ${JSON.stringify(left)}`);
      },
      { deadlineMs: 120_000, everyMs: 500 },
    );
  }

  /** Empties a device and gives it back its state; back-offs are cut short. */
  async empty(devid: number, meanwhile: () => Promise<void>): Promise<void> {
    await this.call('drain_device', { device: devid });
    await meanwhile();
    await until(
      `dev${devid} to be empty`,
      async () => {
        await this.rows('UPDATE file_to_queue SET nexttry = 0 WHERE type = 2 AND flags > 0');
        const waits = 'failcount > 0 AND nexttry > UNIX_TIMESTAMP()';
        await this.rows(`UPDATE file_to_delete2 SET nexttry = 0 WHERE ${waits}`);
        const status = await this.call('drain_status', { device: devid });
        if (status.dev1_replicas === '0' && status.dev1_moves_queued === '0') return true;
        throw new Error(status.dev1_message);
      },
      { deadlineMs: 120_000, everyMs: 200 },
    );
    await this.call('drain_stop', { device: devid });
  }

  /**
   * A fsck, until its closer looks are over; the waits of those that failed are cut short.
   * @returns its status.
   */
  async fsck(
    meanwhile: () => Promise<void> = async () => {},
    limits: Record<string, string> = {},
  ): Promise<Fields> {
    await this.call('fsck_reset', limits);
    await this.call('fsck_start');
    await meanwhile();
    const failed = 'type = 1 AND failcount > 0 AND nexttry > UNIX_TIMESTAMP()';
    return until(
      'fsck to be through',
      async () => {
        await this.rows(`UPDATE file_to_queue SET nexttry = 0 WHERE ${failed}`);
        const status = await this.call('fsck_status');
        if (status.running === '0' && status.queued === undefined) return status;
        throw new Error(JSON.stringify(status));
      },
      { deadlineMs: 120_000, everyMs: 200 },
    );
  }

  /** What `omgfs admin verify` calls bad: all bytes, all acknowledged files, all disks. */
  async verify(): Promise<unknown[]> {
    const { dir, trackers, hosts } = this.cluster;
    const manifest = join(dir, 'manifest.jsonl');
    const lines = [...this.writers.acknowledged].flatMap(([key, told]) =>
      told === null ? [] : [{ domain, key, length: told.length, checksum: `MD5:${told.md5}` }],
    );
    await writeFile(manifest, lines.map((line) => `${JSON.stringify(line)}\n`).join(''));
    const docroots = hosts.flatMap(({ docroot }) => ['--docroot', docroot]);
    const { code, out, err } = await runOmgfs(
      [
        ...['--tracker', trackers[0] ?? '', '--json', 'admin', 'verify', '--checksums'],
        ...['--manifest', manifest, ...docroots],
      ],
      { cwd: dir },
    );
    if (code !== 0 && code !== 1) throw new Error(`verify ended with ${code}: ${err}`);
    const findings = String(out)
      .split('\n')
      .filter((line) => line !== '');
    return findings
      .map((line): { severity: string } => JSON.parse(line))
      .filter(({ severity }) => severity === 'bad');
  }

  /** Keys that were deleted and are there again. */
  async undead(): Promise<string[]> {
    const rows = await this.rows('SELECT dkey FROM file');
    const there = new Set(rows.map(({ dkey }) => String(dkey)));
    return [...this.writers.acknowledged].flatMap(([key, told]) =>
      told === null && there.has(key) ? [key] : [],
    );
  }

  /** Files with more copies than their class wants. */
  async surplus(): Promise<string[]> {
    const rows = await this.rows(
      `SELECT f.fid, c.mindevcount AS wanted, GROUP_CONCAT(o.devid) AS devids
       FROM file f JOIN class c ON c.dmid = f.dmid AND c.classid = f.classid
       JOIN file_on o ON o.fid = f.fid JOIN device d ON d.devid = o.devid AND d.status <> 'dead'
       GROUP BY f.fid, c.mindevcount HAVING COUNT(*) > c.mindevcount`,
    );
    return rows.map(({ fid, wanted, devids }) => `${wanted} copies of fid ${fid}: on ${devids}`);
  }

  /** The log lines of an event, with the index of the tracker that wrote each. */
  async logged(event: string): Promise<{ tracker: number; line: Fields }[]> {
    const { dir, trackerDaemons } = this.cluster;
    const logs = await Promise.all(
      trackerDaemons.map(({ name }) => readFile(join(dir, 'logs', `${name}.log`), 'utf8')),
    );
    return logs.flatMap((log, tracker) => {
      const lines = log.split('\n').filter((line) => line.includes(`"${event}"`));
      return lines.map((line) => ({ tracker, line: JSON.parse(line) }));
    });
  }

  /** I8: replicas that were written and recorded more than once. */
  async doubled(): Promise<string[]> {
    const written = await this.logged('replica.written');
    const seen = new Set<string>();
    return written
      .map(({ line: { fid, target } }) => `fid ${fid} to dev${target}`)
      .filter((one) => seen.size === seen.add(one).size);
  }
}
