#!/usr/bin/env node
/**
 * Measures the background jobs: how fast a backlog of replications drains beside bare copies in the
 * same run, how long a stored file waits for its second copy, what reaping a dead device does to
 * readers, and how much memory a tracker takes beside a large database.
 */
import { writeFile } from 'node:fs/promises';
import { parseArgs } from 'node:util';
import { Cleanup } from '../cleanup.ts';
import { measureDrain } from '../jobs/drain.ts';
import { type JobSite, startJobSite } from '../jobs/job-site.ts';
import { measureLag } from '../jobs/lag.ts';
import { fillRows, measureMemory, measureReaping } from '../jobs/large.ts';
import { median } from '../load/statistics.ts';

const help = `Measures the background jobs on a system of its own.

  jobs-bench [--only LIST] [--files N] [--rows N] [--queued N] [--rounds N]
             [--seconds S] [--dir DIR] [--json FILE]

  --only LIST   drain,lag,reap,memory (default: all)
  --files N     files of the backlog that gets its second copies (default: 20000)
  --bytes N     size of each (default: 65536)
  --rounds N    rounds of the backlog, beside bare copies; medians are printed (default: 3)
  --rate N      files stored a second while the lag is measured (default: half of what drains)
  --seconds S   how long the lag and the readers are measured (default: 20)
  --rows N      files in the database, all on the device that is reaped (default: 1000000)
  --queued N    rows in the queue of replications while memory is read (default: 100000)
  --json FILE   writes the numbers there
  --dir DIR     a directory on the disk to measure (default: the temporary directory)
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    only: { type: 'string', default: 'drain,lag,reap,memory' },
    files: { type: 'string', default: '20000' },
    bytes: { type: 'string', default: '65536' },
    rounds: { type: 'string', default: '3' },
    rate: { type: 'string' },
    seconds: { type: 'string', default: '20' },
    rows: { type: 'string', default: '1000000' },
    queued: { type: 'string', default: '100000' },
    json: { type: 'string' },
    dir: { type: 'string' },
  },
});
if (values.help === true) {
  process.stdout.write(help);
  process.exit(0);
}

const wanted = new Set(values.only.split(','));
const bytes = Number(values.bytes);
const seconds = Number(values.seconds);
const numbers: Record<string, unknown> = { at: new Date().toISOString(), options: values };
/** What drains a second, once it is known. */
let drained = 200;

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

/** A system of its own that also goes when the run is interrupted. */
async function onSite(hosts: number, measure: (site: JobSite) => Promise<void>): Promise<void> {
  const cleanup = new Cleanup();
  cleanup.onSignals((code) => process.exit(code));
  try {
    await measure(await cleanup.building(startJobSite(cleanup, { dir: values.dir, hosts })));
  } finally {
    await cleanup.run();
  }
}

async function drain(site: JobSite): Promise<void> {
  if (wanted.has('drain')) {
    const files = Number(values.files);
    const rounds = await measureDrain(site, { files, bytes, rounds: Number(values.rounds) });
    numbers.drain = rounds;
    drained = median(rounds.map((round) => round.drain));
    const bare = median(rounds.map((round) => round.bare));
    const ratios = rounds.map((round) => round.drain / round.bare);
    const [low, high] = [Math.min(...ratios), Math.max(...ratios)].map((one) => one.toFixed(2));
    print(
      `drain ${files} files of ${bytes} bytes: ${drained.toFixed(0)}/s, bare copies ` +
        `${bare.toFixed(0)}/s, ratio ${median(ratios).toFixed(2)} (${low}–${high}), target 0.5`,
    );
    const costs = Object.keys(rounds[0]?.costs ?? {}).map((name) => {
      return `${name} ${median(rounds.map((round) => round.costs[name] ?? 0)).toFixed(0)}`;
    });
    print(`processor time of a file in µs: ${costs.join(', ')}`);
  }
  if (wanted.has('lag')) {
    const rate = Number(values.rate ?? drained / 2);
    const lag = await measureLag(site, { rate, seconds, bytes });
    numbers.lag = lag;
    print(
      `lag of the second copy at ${lag.rate.toFixed(0)} files/s (${lag.files} files): ` +
        `p50 ${lag.p50Ms.toFixed(0)} ms, p99 ${lag.p99Ms.toFixed(0)} ms, target p99 < 1000 ms`,
    );
  }
}

async function large(site: JobSite): Promise<void> {
  const rows = Number(values.rows);
  await fillRows(site, rows);
  if (wanted.has('memory')) {
    const memory = await measureMemory(site, { rows, queued: Number(values.queued) });
    numbers.memory = memory;
    print(
      `tracker beside ${rows} files and ${memory.queued} queued rows: at most ` +
        `${memory.trackerMib.toFixed(0)} MiB in ${memory.drainSeconds.toFixed(0)} s, ` +
        'target < 250 MiB',
    );
  }
  if (wanted.has('reap')) {
    const reaping = await measureReaping(site, { rows, seconds });
    numbers.reaping = reaping;
    const ratio = reaping.reapingP99Ms / reaping.idleP99Ms;
    print(
      `get_paths p99 while ${reaping.reapedPerSecond.toFixed(0)} of ${rows} rows/s are reaped: ` +
        `${reaping.reapingP99Ms.toFixed(2)} ms, idle ${reaping.idleP99Ms.toFixed(2)} ms, ` +
        `ratio ${ratio.toFixed(2)}, target < 2`,
    );
  }
}

if (wanted.has('drain') || wanted.has('lag')) await onSite(2, drain);
if (wanted.has('reap') || wanted.has('memory')) await onSite(3, large);
if (values.json !== undefined) {
  await writeFile(values.json, `${JSON.stringify(numbers, null, 2)}\n`);
}
