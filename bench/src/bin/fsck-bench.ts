#!/usr/bin/env node
/**
 * Compares fsck with its bare limits, in the same run and turn by turn: policy-only runs with the
 * rate at which the rows they look at stream out of the database, and full runs with HEAD requests
 * for the same replicas over as many connections.
 */
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { startLocalCluster } from '@omgfs/cli';
import { createTrackerPool } from '@omgfs/client';
import { fidPath } from '@omgfs/protocol';
import mysql from 'mysql2';
import { createConnection } from 'mysql2/promise';
import { Agent } from 'undici';
import { Cleanup } from '../cleanup.ts';
import { median } from '../load/statistics.ts';
import { startMariaDb } from '../local/mariadb.ts';

const help = `Compares fsck with its bare limits.

  fsck-bench [--rows N] [--files N] [--rounds N] [--dir DIR]

  --rows N    files in the database of the policy-only part (default: 300000)
  --files N   files of which every replica is asked for (default: 10000)
  --rounds N  rounds; medians of the ratios of each round are printed (default: 5)
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    dir: { type: 'string' },
    rows: { type: 'string', default: '300000' },
    files: { type: 'string', default: '10000' },
    rounds: { type: 'string', default: '5' },
  },
});
if (values.help === true) {
  process.stdout.write(help);
  process.exit(0);
}

const database = 'omgfs_fsck';
const hosts = 2;
/** Those of a tracker with its defaults. */
const connectionsPerHost = 20;
const questionsAtOnce = 64;
const insertRows = 1000;

const cleanup = new Cleanup();
const dir = await mkdtemp(join(values.dir ?? tmpdir(), 'omgfs-fsck-bench-'));
cleanup.add(() => rm(dir, { recursive: true, force: true }));
const server = await startMariaDb(dir);
cleanup.add(() => server.stop());
await server.createDatabase(database);
const cluster = await startLocalCluster({
  dir: join(dir, 'cluster'),
  hosts,
  devicesPerHost: 1,
  domain: 'd',
  dsn: `DBI:mysql:${database};host=127.0.0.1;port=${server.port}`,
  dbUser: server.user,
  dbPass: server.password,
  portBase: 0,
});
cleanup.add(() => cluster.stop());
const tracker = createTrackerPool({ trackers: cluster.trackers, requestTimeoutMs: 30_000 });
cleanup.add(() => tracker.close());
const uri = server.uri(database);
const sql = await createConnection(uri);
cleanup.add(() => sql.end());
const devids = cluster.hosts.flatMap((host) => host.devids);

/** Files of no bytes, on every device, as rows. */
async function insertFiles(first: number, count: number): Promise<void> {
  for (let at = first; at < first + count; at += insertRows) {
    const last = Math.min(at + insertRows, first + count);
    const fids = Array.from({ length: last - at }, (_, index) => at + index);
    const files = fids.map((fid) => `(${fid}, 1, 'a/key/of/usual/length/${fid}', 0, 0, ${hosts})`);
    await sql.query(
      `INSERT INTO file (fid, dmid, dkey, length, classid, devcount) VALUES ${files.join()}`,
    );
    const places = fids.flatMap((fid) => devids.map((devid) => `(${fid}, ${devid})`));
    await sql.query(`INSERT INTO file_on (fid, devid) VALUES ${places.join()}`);
  }
}

/** Seconds that one whole run takes. @throws Error when it finds anything. */
async function runFsck(options: { policy_only: number }): Promise<number> {
  await tracker.request('fsck_reset', options);
  const startMs = performance.now();
  await tracker.request('fsck_start');
  for (;;) {
    const status = await tracker.request('fsck_status');
    if (status.running === '0') {
      const seconds = (performance.now() - startMs) / 1000;
      const found = Object.keys(status).filter((name) => /^(?:num_|waiting|queued)/.test(name));
      if (found.length > 0) throw new Error(`fsck found ${JSON.stringify(status)}`);
      return seconds;
    }
    await delay(50);
  }
}

/** Seconds to read all rows of so many files, as fast as the driver takes them. */
async function streamRows(files: number): Promise<number> {
  const connection = mysql.createConnection(uri);
  const startMs = performance.now();
  for (const [text, expected] of [
    ['SELECT fid, dmid, classid, length, devcount FROM file ORDER BY fid', files],
    ['SELECT fid, devid FROM file_on ORDER BY fid', files * hosts],
  ] as const) {
    await new Promise<void>((resolve, reject) => {
      let rows = 0;
      connection
        .query(text)
        .on('error', reject)
        .on('result', () => {
          rows += 1;
        })
        .on('end', () => (rows === expected ? resolve() : reject(new Error(`${rows} rows`))));
    });
  }
  const seconds = (performance.now() - startMs) / 1000;
  connection.destroy();
  return seconds;
}

/** Seconds to ask for every replica. */
async function askAll(agent: Agent, fids: readonly number[]): Promise<number> {
  const left = fids.values();
  const startMs = performance.now();
  const caller = async (): Promise<void> => {
    for (const fid of left) {
      for (const host of cluster.hosts) {
        const path = fidPath(host.devids[0] ?? 0, fid);
        const origin = `http://${host.ip}:${host.httpPort}`;
        const reply = await agent.request({ origin, path, method: 'HEAD', reset: false });
        await reply.body.dump();
        if (reply.statusCode !== 200) throw new Error(`HEAD ${path}: ${reply.statusCode}`);
      }
    }
  };
  await Promise.all(Array.from({ length: questionsAtOnce }, caller));
  return (performance.now() - startMs) / 1000;
}

async function compare(
  name: string,
  options: { amount: number; unit: string; target: number },
  turns: { fsck: () => Promise<number>; bare: () => Promise<number> },
): Promise<void> {
  const fsck: number[] = [];
  const bare: number[] = [];
  // The first turn of each warms up.
  for (let round = 0; round <= Number(values.rounds); round += 1) {
    const times = { fsck: await turns.fsck(), bare: await turns.bare() };
    if (round === 0) continue;
    fsck.push(options.amount / times.fsck);
    bare.push(options.amount / times.bare);
  }
  const ratios = fsck.map((rate, index) => rate / (bare[index] ?? 1));
  const shown = (rates: number[]) => `${Math.round(median(rates))} ${options.unit}/s`;
  const [low, high] = [Math.min(...ratios), Math.max(...ratios)].map((ratio) => ratio.toFixed(2));
  process.stdout.write(
    `${name}: ${shown(fsck)}, bare ${shown(bare)}, ratio ${median(ratios).toFixed(2)} ` +
      `(${low}–${high}), target ${options.target}\n`,
  );
}

try {
  const files = Number(values.files);
  const fids = Array.from({ length: files }, (_, index) => index + 1);
  for (const { docroot, devids: own } of cluster.hosts) {
    for (const fid of fids) {
      const path = join(docroot, fidPath(own[0] ?? 0, fid));
      if (fid % 1000 === 1 || fid === 1) await mkdir(dirname(path), { recursive: true });
      await writeFile(path, '').catch(async () => {
        await mkdir(dirname(path), { recursive: true });
        await writeFile(path, '');
      });
    }
  }
  await insertFiles(1, files);
  const agent = new Agent({ connections: connectionsPerHost });
  cleanup.add(() => agent.destroy());
  await compare(
    'fsck with sizes',
    { amount: files * hosts, unit: 'replicas', target: 0.5 },
    { fsck: () => runFsck({ policy_only: 0 }), bare: () => askAll(agent, fids) },
  );
  const rows = Number(values.rows);
  await insertFiles(files + 1, rows - files);
  await compare(
    'fsck, policy only',
    { amount: rows * (1 + hosts), unit: 'rows', target: 0.3 },
    { fsck: () => runFsck({ policy_only: 1 }), bare: () => streamRows(rows) },
  );
} finally {
  await cleanup.run();
}
