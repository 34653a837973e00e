#!/usr/bin/env node
/**
 * Compares `list_keys` in a domain of many keys with the same in a domain of few, turn by turn,
 * each in a database of its own: a page must cost what it holds, whatever lies beside it.
 */
import { parseArgs } from 'node:util';
import { Cleanup } from '../cleanup.ts';
import { domain, type JobSite, numberOf, startJobSite } from '../jobs/job-site.ts';
import { median } from '../load/statistics.ts';

const help = `Compares list_keys at many keys with list_keys at few.

  list-bench [--few N] [--many N] [--limit N] [--rounds N] [--pages N] [--dir DIR]

  --few N      keys of the small database (default: 10000)
  --many N     keys of the large one (default: 10000000; about 2 GB, and minutes to fill)
  --limit N    keys of a page (default: 1000)
  --rounds N   turns of each; medians are printed (default: 5)
  --pages N    pages of a turn, each after a random key (default: 100)
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

/** Milliseconds of one page, in the middle of a turn's pages. */
async function turn({ tracker }: JobSite, keys: number): Promise<number> {
  const pagesMs: number[] = [];
  for (let page = 0; page < Number(values.pages); page += 1) {
    const after = keyOf(Math.floor(Math.random() * (keys - limit)));
    const startedMs = performance.now();
    const reply = await tracker.request('list_keys', { domain, prefix: 'bench/', after, limit });
    pagesMs.push(performance.now() - startedMs);
    if (Number(reply.key_count) !== limit) throw new Error(`a page of ${reply.key_count} keys`);
  }
  return median(pagesMs);
}

const cleanup = new Cleanup();
try {
  const sites: { keys: number; site: JobSite; turnsMs: number[] }[] = [];
  for (const keys of [Number(values.few), Number(values.many)]) {
    const site = await startJobSite(cleanup, { dir: values.dir, hosts: 1 });
    const startedMs = performance.now();
    await fill(site, keys);
    const seconds = ((performance.now() - startedMs) / 1000).toFixed(0);
    const rows = await numberOf(site, 'SELECT COUNT(*) FROM file');
    process.stdout.write(`filled ${rows} keys in ${seconds} s\n`);
    sites.push({ keys, site, turnsMs: [] });
  }
  for (const { site, keys } of sites) await turn(site, keys);
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const { site, keys, turnsMs } of sites) turnsMs.push(await turn(site, keys));
  }
  const [few, many] = sites.map(({ turnsMs }) => turnsMs) as [number[], number[]];
  const ratios = many.map((ms, round) => ms / (few[round] ?? 0));
  const range = `${Math.min(...ratios).toFixed(2)}–${Math.max(...ratios).toFixed(2)}`;
  process.stdout.write(
    `list_keys of ${limit}: ${median(few).toFixed(2)} ms at ${values.few} keys, ` +
      `${median(many).toFixed(2)} ms at ${values.many}, ` +
      `ratio ${median(ratios).toFixed(2)} (${range}), target < 1.5\n`,
  );
} finally {
  await cleanup.run();
}
