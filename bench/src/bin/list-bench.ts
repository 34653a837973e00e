#!/usr/bin/env node
/**
 * Compares `list_keys` in a domain of many keys with the same in a domain of few, turn by turn,
 * each in a database of its own: a page must cost what it holds, whatever lies beside it.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Cleanup } from '../cleanup.ts';
import { domain, type JobSite, numberOf, startJobSite } from '../jobs/job-site.ts';
import { median } from '../load/statistics.ts';

const help = `Compares list_keys at many keys with list_keys at few.

  list-bench [--few N] [--many N] [--limit N] [--rounds N] [--pages N]
             [--pool MIB] [--dir DIR]

  --few N      keys of the small database (default: 10000)
  --many N     keys of the large one (default: 10000000; about 2 GB, and minutes to fill)
  --limit N    keys of a page (default: 1000)
  --rounds N   turns of each; medians are printed (default: 5)
  --pages N    pages of a turn, in a row or each after a random key (default: 100)
  --pool MIB   memory of each database server for its data (default: 3072)
  --dir DIR    a directory on the disk to measure (default: the temporary directory)
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    few: { type: 'string', default: '10000' },
    many: { type: 'string', default: '10000000' },
    limit: { type: 'string', default: '1000' },
    rounds: { type: 'string', default: '5' },
    pages: { type: 'string', default: '100' },
    pool: { type: 'string', default: '3072' },
    dir: { type: 'string' },
  },
});
if (values.help === true) {
  process.stdout.write(help);
  process.exit(0);
}
const limit = Number(values.limit);

/** Rows of one INSERT. */
const insertRows = 500_000;
const calmMsMax = 120_000;
const dirtyPages = `SELECT variable_value FROM information_schema.global_status
  WHERE variable_name = 'INNODB_BUFFER_POOL_PAGES_DIRTY'`;

/** As long as names of applications are, and in the order of the fids. */
const keyOf = (fid: number) => `bench/photos/2026/${String(fid).padStart(10, '0')}.jpg`;

async function fill(site: JobSite, keys: number): Promise<void> {
  for (let first = 1; first <= keys; first += insertRows) {
    const last = Math.min(first + insertRows - 1, keys);
    await site.sql.query(
      `INSERT INTO file (fid, dmid, dkey, length, classid, devcount)
       SELECT seq, dmid, CONCAT('bench/photos/2026/', LPAD(seq, 10, '0'), '.jpg'), 0, 0, 1
       FROM seq_${first}_to_${last}, domain WHERE namespace = '${domain}'`,
    );
  }
}

/** Rows and indexes of the large database fit. */
async function giveMemory(site: JobSite): Promise<void> {
  await site.sql.query(`SET GLOBAL innodb_buffer_pool_size = ${Number(values.pool) * 2 ** 20}`);
}

/** What filling left to be written costs everybody; waits for its end. */
async function calmDown(site: JobSite): Promise<void> {
  await site.sql.query('SET GLOBAL innodb_max_dirty_pages_pct_lwm = 0.001');
  await site.sql.query('SET GLOBAL innodb_max_dirty_pages_pct = 0');
  const deadline = performance.now() + calmMsMax;
  while (performance.now() < deadline && (await numberOf(site, dirtyPages)) > 100) {
    await delay(500);
  }
}

type Kind = 'in a row' | 'at random';

interface Listed {
  keys: number;
  site: JobSite;
  /** Where the next page begins. */
  after: string;
  pagesMs: number[];
}

const anyKey = (keys: number) => keyOf(Math.floor(Math.random() * (keys - limit)));

async function listPage(listed: Listed, kind: Kind): Promise<void> {
  const { keys, site, pagesMs } = listed;
  const after = kind === 'at random' || listed.after === '' ? anyKey(keys) : listed.after;
  const startedMs = performance.now();
  const request = { domain, prefix: 'bench/', after, limit };
  const reply = await site.tracker.request('list_keys', request);
  pagesMs.push(performance.now() - startedMs);
  listed.after = Number(reply.key_count) === limit ? (reply.next_after ?? '') : '';
}

/** Page by page in turns, so that both meet the same noise. */
async function compare(sites: readonly Listed[], kind: Kind): Promise<void> {
  const turns: [number, number][] = [];
  for (let round = 0; round <= Number(values.rounds); round += 1) {
    for (const listed of sites) Object.assign(listed, { after: '', pagesMs: [] });
    for (let page = 0; page < Number(values.pages); page += 1) {
      for (const listed of sites) await listPage(listed, kind);
    }
    const [few = 0, many = 0] = sites.map(({ pagesMs }) => median(pagesMs));
    // The first round warms up.
    if (round > 0) turns.push([few, many]);
  }
  const ratios = turns.map(([few, many]) => many / few);
  const range = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`;
  const [few, many] = [0, 1].map((index) => median(turns.map((turn) => turn[index] ?? 0)));
  process.stdout.write(
    `list_keys of ${limit}, pages ${kind}: ${few?.toFixed(2)} ms at ${values.few} keys, ` +
      `${many?.toFixed(2)} ms at ${values.many}, ` +
      `ratio ${median(ratios).toFixed(2)} (${range}), target < 1.5\n`,
  );
}

const cleanup = new Cleanup();
try {
  const sites: Listed[] = [];
  for (const keys of [Number(values.few), Number(values.many)]) {
    const site = await startJobSite(cleanup, { dir: values.dir, hosts: 1 });
    const startedMs = performance.now();
    await giveMemory(site);
    await fill(site, keys);
    await calmDown(site);
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
    const rows = await numberOf(site, 'SELECT COUNT(*) FROM file');
    process.stdout.write(`filled ${rows} keys in ${seconds} s\n`);
    sites.push({ keys, site, after: '', pagesMs: [] });
  }
  for (const kind of ['in a row', 'at random'] as const) await compare(sites, kind);
} finally {
  await cleanup.run();
}
