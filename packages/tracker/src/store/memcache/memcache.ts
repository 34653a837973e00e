/**
 * The cache of paths that trackers of MogileFS keep in memcached (spec §3.8). Ours do not read it,
 * but remove what they change, so that trackers of the original beside them do not answer with
 * files that were replaced. Every server is told, because which one has an entry is up to the hash
 * of the Perl client.
 */
import type { Log } from '../../log.ts';
import type { ChangedPaths, PathCache } from '../store.ts';
import { MemcacheServer } from './server.ts';

/** What memcached takes for a key; anything else cannot have been stored. */
const keyPattern = /^[!-~\x80-\xff]{1,250}$/;

export class Memcache implements PathCache {
  readonly #log: Log;
  #text = '';
  #servers: MemcacheServer[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  /** Takes the setting `memcache_servers`: `host:port`, several by comma; others are left out. */
  configure(setting: string | undefined): void {
    const text = setting ?? '';
    if (text === this.#text) return;
    this.close();
    this.#text = text;
    this.#servers = text.split(/[\s,]+/).flatMap((part) => {
      const [, host, port] = /^([\w.-]+):(\d{1,5})$/.exec(part) ?? [];
      if (host === undefined || Number(port) > 65_535) return [];
      const onFault = (reason: string) =>
        this.#log.warn({ server: part, reason }, 'memcache.unreachable');
      return [new MemcacheServer({ host, port: Number(port) }, onFault)];
    });
  }

  get active(): boolean {
    return this.#servers.length > 0;
  }

  async forget({ keys = [], fids = [] }: ChangedPaths): Promise<void> {
    const entries = [
      ...keys.map(({ dmid, dkey }) => `mogfid:${dmid}:${dkey}`),
      ...fids.map((fid) => `mogdevids:${fid}`),
    ].filter((entry) => keyPattern.test(entry));
    if (entries.length === 0) return;
    await Promise.all(this.#servers.map((server) => server.remove(entries)));
  }

  close(): void {
    for (const server of this.#servers.splice(0)) server.close();
  }
}
