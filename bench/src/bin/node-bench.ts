#!/usr/bin/env node
/**
 * Compares the storage node with nginx: the same files on the same disk in the same run, one
 * process each, wrk as the client, the servers taking turns. Prints medians, the ratio of each
 * round's pair, and the processor time of a request, which says more when the machine is busy.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { fidPath } from '@omgfs/protocol';
import { startNginx } from '../limits/nginx.ts';
import { median, spread } from '../load/statistics.ts';
import { endProcess, freePort, waitFor } from '../local/processes.ts';
import { readCosts } from '../report/processes.ts';

const help = `Compares the storage node with nginx on the same disk, turn by turn.

  node-bench [--dir DIR] [--seconds S] [--rounds N] [--connections N] [--only NAME,...]

  --dir DIR          a directory on the disk to measure (default: the temporary directory)
  --only LIST        get-4k,get-64k,get-10m,put-4k,put-64k,sync, and plane-4k,plane-64k: reads
                     of a node with server = nginx (default: all)
  --option NAME=V    an option of the storage node, repeatable

Needs wrk and nginx (with its DAV module).
`;

const all = 'get-4k,get-64k,get-10m,put-4k,put-64k,plane-4k,plane-64k,sync';

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    dir: { type: 'string' },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '32' },
    only: { type: 'string', default: all },
    option: { type: 'string', multiple: true, default: [] },
  },
});
if (values.help === true) {
  process.stdout.write(help);
  process.exit(0);
}

const run = promisify(execFile);
const program = fileURLToPath(
  new URL('../../../packages/storage/bin/mogstored.js', import.meta.url),
);
const dir = await mkdtemp(join(values.dir ?? tmpdir(), 'omgfs-node-bench-'));
// Without this ext4 searches through recently deleted inodes (see local.ts).
await run('chattr', ['+T', dir]).catch(() => {});
const children: ChildProcess[] = [];

interface Server {
  /** Host and port. */
  origin: string;
  pid: number;
}

async function startNode(name: string, ...options: string[]): Promise<Server> {
  const port = await freePort();
  const docroot = join(dir, name);
  await run('mkdir', ['-p', join(docroot, 'dev1')]);
  const listen = `127.0.0.1:${port}`;
  const base = ['--skipconfig', '--docroot', docroot, '--httplisten', listen];
  const extra = values.option.flatMap((option) => [`--${option}`]);
  const quiet = ['--mgmtlisten', 'none', '--log-level', 'error', '--free-reserve-mb', '0'];
  const child = spawn(process.execPath, [program, ...base, ...quiet, ...options, ...extra], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  children.push(child);
  await waitFor(`${name} listens`, async () => {
    return await fetch(`http://${listen}/`).then(
      (answer) => answer.ok,
      () => false,
    );
  });
  return { origin: listen, pid: child.pid ?? 0 };
}

interface Contender extends Server {
  name: string;
  connections: number;
}

interface Turn {
  /** Requests a second. */
  rate: number;
  /** Processor time of a request, of the server and what it started. */
  micros: number;
}

/** One turn. @throws Error when the server refuses what it is asked. */
async function measure({ origin, pid, connections }: Contender, script: string): Promise<Turn> {
  const spentMs = () => readCosts([{ name: 'server', pid }]).get('server')?.cpuMs ?? 0;
  const before = spentMs();
  const args = ['-t', '1', '-c', String(connections), '-d', `${values.seconds}s`, '-s', script];
  const { stdout } = await run('wrk', [...args, `http://${origin}/`]);
  const bad = /Non-2xx or 3xx responses: (\d+)/.exec(stdout);
  if (bad !== null) throw new Error(`${origin}: ${bad[0]}`);
  const numberOf = (shape: RegExp) => Number(shape.exec(stdout)?.[1] ?? Number.NaN);
  const micros = ((spentMs() - before) * 1000) / numberOf(/(\d+) requests in /);
  return { rate: numberOf(/Requests\/sec:\s+([\d.]+)/), micros };
}

/** Both take turns; a ratio is that of each round, so that a slow minute strikes both. */
async function compare(title: string, pair: [Contender, Contender], script: () => Promise<string>) {
  const turns: [Turn[], Turn[]] = [[], []];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const at of [0, 1] as const) turns[at].push(await measure(pair[at], await script()));
  }
  const said = pair.map(({ name }, at) => {
    const rate = median((turns[at] ?? []).map((turn) => turn.rate)).toFixed(0);
    const micros = median((turns[at] ?? []).map((turn) => turn.micros)).toFixed(1);
    return `${name} ${rate.padStart(7)}/s ${micros.padStart(5)} µs`;
  });
  const ratio = (of: (one: Turn, other: Turn) => number) => {
    const all = spread(turns[1].map((turn, at) => of(turn, turns[0][at] ?? turn)));
    return `${all.median.toFixed(2)} (${all.min.toFixed(2)}-${all.max.toFixed(2)})`;
  };
  const rates = ratio((turn, other) => turn.rate / other.rate);
  // The other way round: what costs half as much could be twice as fast.
  const costs = ratio((turn, other) => other.micros / turn.micros);
  process.stdout.write(
    `${title.padEnd(9)} ${said.join('  ')}  ratio ${rates}, by processor time ${costs}\n`,
  );
}

let puts = 0;
const scripts = {
  get: (bytes: number, files: number) => async () => {
    const file = join(dir, 'get.lua');
    await writeFile(
      file,
      `local at = 0
request = function()
  at = (at + 1) % ${files}
  return wrk.format("GET", string.format("${fidPath(1, bytes * 1000).slice(0, -7)}%03d.fid", at))
end\n`,
    );
    return file;
  },
  put: (bytes: number) => async () => {
    const file = join(dir, 'put.lua');
    puts += 1;
    await writeFile(
      file,
      `local at = 0
local body = string.rep("x", ${bytes})
request = function()
  at = at + 1
  local path = string.format("/dev1/1/%03d/%03d/%010d.fid", ${puts}, math.floor(at / 1000), at)
  return wrk.format("PUT", path, nil, body)
end\n`,
    );
    return file;
  },
};

try {
  const wanted = new Set(values.only.split(','));
  const connections = Number(values.connections);
  const node = await startNode('node', '--sync', 'never');
  const plane = await startNode('plane', '--server', 'nginx', '--nginx-workers', '1');
  const docroots = [join(dir, 'node'), join(dir, 'plane')];
  const nginx = await startNginx(docroots, { processes: 1, dav: true });
  const beside = (at: number, name: string, server: Server): [Contender, Contender] => [
    { name: 'nginx', origin: nginx.origins[at] ?? '', pid: nginx.pid, connections },
    { name, ...server, connections },
  ];
  const both = beside(0, 'node', node);
  try {
    for (const [name, bytes, files, pair] of [
      ['get-4k', 4096, 1000, both],
      ['get-64k', 65_536, 500, both],
      ['get-10m', 10_485_760, 8, both],
      ['plane-4k', 4096, 1000, beside(1, 'node with nginx', plane)],
      ['plane-64k', 65_536, 500, beside(1, 'node with nginx', plane)],
    ] as const) {
      if (!wanted.has(name)) continue;
      const body = Buffer.alloc(bytes, 'x');
      for (let at = 0; at < files; at += 1) {
        const path = fidPath(1, bytes * 1000 + at);
        await fetch(`http://${pair[1].origin}${path}`, { method: 'PUT', body });
      }
      await compare(name, pair, scripts.get(bytes, files));
    }
    if (wanted.has('put-4k')) await compare('put-4k', both, scripts.put(4096));
    if (wanted.has('put-64k')) await compare('put-64k', both, scripts.put(65_536));
  } finally {
    await nginx.stop();
  }
  if (wanted.has('sync')) {
    const always = await startNode('always', '--sync', 'always');
    const batch = await startNode('batch', '--sync', 'batch');
    const one = { name: 'always, 1 connection', ...always, connections: 1 };
    const many = { name: 'always, 64', ...always, connections: 64 };
    const grouped = { name: 'batch, 64', ...batch, connections: 64 };
    await compare('sync', [one, grouped], scripts.put(4096));
    await compare('sync', [many, grouped], scripts.put(4096));
  }
} finally {
  for (const child of children) await endProcess(child, 'SIGTERM');
  await rm(dir, { recursive: true, force: true });
}
