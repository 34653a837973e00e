/**
 * Has every job of a `JobSite` at work while something goes wrong: writers store, overwrite and
 * delete, a device is emptied and another one reaped, fsck runs, nodes scrub files that rot, and
 * the class keeps asking for another number of copies, so that all files are looked at again.
 */
import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fidPath } from '@omgfs/protocol';
import { checkedClass, type JobSite } from './job-site.ts';
import { rotFile } from './rot.ts';
import { until } from './wait.ts';

const rottenFiles = 3;
const reapedFiles = 60;
const upkeep = { deadlineMs: 120_000, everyMs: 200 };

interface Rotten {
  fid: number;
  devid: number;
  path: string;
  body: Buffer;
}

export class AllJobs {
  readonly #site: JobSite;
  readonly #emptied: number;
  readonly #dead: number;
  readonly #small: number;
  #rounds = 0;

  /**
   * @param options.emptied in every round; `dead` from `begin` on; `small` may be full at any time.
   * They are on other hosts.
   */
  constructor(
    site: JobSite,
    { emptied, dead, small }: { emptied: number; dead: number; small: number },
  ) {
    this.#site = site;
    this.#emptied = emptied;
    this.#dead = dead;
    this.#small = small;
  }

  async begin(): Promise<void> {
    // A fsck, too, forgets what is on dead devices; so these are of a class that it passes over.
    const { client, cluster } = this.#site;
    const keys = Array.from({ length: reapedFiles }, (_, number) => `reaped/${number}`);
    await Promise.all(keys.map((key) => client.put(key, Buffer.from(key))));
    await this.#site.settle();
    await this.#set('queue_rate_for_reaper', 2);
    // What rots is left for the scrub to find.
    await this.#set('fsck_checksum', 'off');
    const host = cluster.hosts.find(({ devids }) => devids.includes(this.#dead));
    const state = { host: host?.name ?? '', device: this.#dead, state: 'dead' };
    await this.#site.call('set_state', state);
  }

  /** Ends when the work of all jobs but the reaper is done. */
  async during(fault: () => Promise<void>): Promise<void> {
    this.#rounds += 1;
    const rotten = await this.#rot();
    const copies = 2 + (this.#rounds % 2);
    const place = { domain: this.#site.cluster.domain, class: checkedClass };
    const change = { ...place, mindevcount: copies, hashtype: 'MD5' };
    await this.#site.call('update_class', change);
    await this.#set('omg_scrub_mib_per_second', 1000 + this.#rounds);
    await this.#set('queue_rate_for_fsck', 50);
    await this.#site.call('clear_cache');
    await this.#site.call('clear_cache', {}, 1);
    await this.#site.fsck(async () => {
      await this.#site.storm(() => this.#site.empty(this.#emptied, fault));
      await this.#set('queue_rate_for_fsck', '');
    }, place);
    await until('what rotted to be replaced', () => this.#areReplaced(rotten), upkeep);
    await until('all files to be looked at again', () => this.#isWalked(), upkeep);
  }

  /** Waits until the reaper has begun. */
  async reaping(): Promise<void> {
    const isBegun = async () => (await this.#site.logged('device.reaped')).length > 0;
    await until('the reaper to begin', isBegun, upkeep);
  }

  /** Waits until nothing is known of the dead device any more. */
  async reaped(): Promise<void> {
    await this.#set('queue_rate_for_reaper', 1000);
    const sql = 'SELECT COUNT(*) AS n FROM file_on WHERE devid = ?';
    const isGone = async () => (await this.#site.rows(sql, [this.#dead]))[0]?.n === 0;
    await until('the reaper to be through', isGone, upkeep);
  }

  async #set(key: string, value: string | number): Promise<void> {
    await this.#site.call('set_server_setting', { key, value });
  }

  /** Some of the replicas of files that have others; their nodes know what they should be. */
  async #rot(): Promise<Rotten[]> {
    const rows = await this.#site.rows(
      `SELECT o.fid, MIN(o.devid) AS devid FROM file_on o JOIN file f ON f.fid = o.fid
       WHERE f.length > 3 AND o.devid NOT IN (?, ?, ?) GROUP BY o.fid HAVING COUNT(*) > 1
       ORDER BY RAND() LIMIT ${rottenFiles}`,
      [this.#emptied, this.#dead, this.#small],
    );
    const rotten: Rotten[] = [];
    for (const row of rows) {
      const [fid, devid] = [Number(row.fid), Number(row.devid)];
      const host = this.#site.cluster.hosts.find(({ devids }) => devids.includes(devid));
      const path = join(host?.docroot ?? '', fidPath(devid, fid));
      const body = readFileSync(path);
      const headers = { 'content-md5': createHash('md5').update(body).digest('base64') };
      const url = `http://${host?.ip}:${host?.httpPort}${fidPath(devid, fid)}`;
      const { status } = await fetch(url, { method: 'PUT', body, headers });
      if (status !== 201) throw new Error(`PUT of ${path}: ${status}`);
      // The digest is written after the answer.
      await until('the digest to be kept', async () => {
        const wanted = { method: 'HEAD', headers: { 'want-content-digest': 'md5=1' } };
        return (await fetch(url, wanted)).headers.has('content-digest');
      });
      rotFile(path);
      rotten.push({ fid, devid, path, body });
    }
    return rotten;
  }

  /** Each is off the books, or was copied anew. */
  async #areReplaced(rotten: readonly Rotten[]): Promise<boolean> {
    const rows = await this.#site.rows('SELECT fid, devid FROM file_on');
    const known = new Set(rows.map(({ fid, devid }) => `${fid} ${devid}`));
    return rotten.every(({ fid, devid, path, body }) => {
      return !known.has(`${fid} ${devid}`) || (existsSync(path) && readFileSync(path).equals(body));
    });
  }

  async #isWalked(): Promise<boolean> {
    const rows = await this.#site.rows(
      "SELECT field FROM server_settings WHERE field LIKE 'omg\\_sweep\\_%'",
    );
    return rows.length === 0;
  }
}
