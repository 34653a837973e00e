#!/usr/bin/env node
/**
 * Compares the storage node with nginx: the same files on the same disk in the same run, one
 * process each, wrk as the client, the servers taking turns. Prints medians and the ratio of each
 * round's pair.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs, promisify } from 'node:util';
import { fidPath } from '@omgfs/protocol';
import { startNginx } from '../limits/nginx.ts';
import { endProcess, freePort, waitFor } from '../local/processes.ts';

const help = `Compares the storage node with nginx on the same disk, turn by turn.

  node-bench [--dir DIR] [--seconds S] [--rounds N] [--connections N] [--only NAME,...]

  --dir DIR          a directory on the disk to measure (default: the temporary directory)
  --only LIST        get-4k,get-64k,get-10m,put-4k,put-64k,sync (default: all)
  --option NAME=V    an option of the storage node, repeatable

Needs wrk and nginx (with its DAV module).
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    dir: { type: 'string' },
    seconds: { type: 'string', default: '3' },
    rounds: { type: 'string', default: '5' },
    connections: { type: 'string', default: '32' },
    only: { type: 'string', default: 'get-4k,get-64k,get-10m,put-4k,put-64k,sync' },
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

async function startNode(name: string, ...options: string[]): Promise<string> {
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
  return listen;
}

interface Contender {
  name: string;
  origin: string;
  connections: number;
}

/** Requests a second of one turn. @throws Error when the server refuses what it is asked. */
async function measure({ origin, connections }: Contender, script: string): Promise<number> {
  const args = ['-t', '1', '-c', String(connections), '-d', `${values.seconds}s`, '-s', script];
  const { stdout } = await run('wrk', [...args, `http://${origin}/`]);
  const bad = /Non-2xx or 3xx responses: (\d+)/.exec(stdout);
  if (bad !== null) throw new Error(`${origin}: ${bad[0]}`);
  return Number(/Requests\/sec:\s+([\d.]+)/.exec(stdout)?.[1] ?? Number.NaN);
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}

/** Both take turns; the ratio is that of each round, so that a slow minute strikes both. */
async function compare(title: string, pair: [Contender, Contender], script: () => Promise<string>) {
  const rates: [number[], number[]] = [[], []];
  for (let round = 0; round < Number(values.rounds); round += 1) {
    for (const at of [0, 1] as const) rates[at].push(await measure(pair[at], await script()));
  }
  const ratios = rates[1].map((rate, at) => rate / (rates[0][at] ?? Number.NaN));
  const [first, second] = rates.map((list) => median(list).toFixed(0).padStart(7));
  const range = `${Math.min(...ratios).toFixed(2)}-${Math.max(...ratios).toFixed(2)}`;
  process.stdout.write(
    `${title.padEnd(9)} ${pair[0].name} ${first}/s  ${pair[1].name} ${second}/s  ` +
      `ratio ${median(ratios).toFixed(2)} (${range})\n`,
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
  const origin = await startNode('node', '--sync', 'never');
  const nginx = await startNginx([join(dir, 'node')], { processes: 1, dav: true });
  const both: [Contender, Contender] = [
    { name: 'nginx', origin: nginx.origins[0] ?? '', connections },
    { name: 'node', origin, connections },
  ];
  try {
    for (const [name, bytes, files] of [
      ['get-4k', 4096, 1000],
      ['get-64k', 65_536, 500],
      ['get-10m', 10_485_760, 8],
    ] as const) {
      if (!wanted.has(name)) continue;
      const body = Buffer.alloc(bytes, 'x');
      for (let at = 0; at < files; at += 1) {
        const path = fidPath(1, bytes * 1000 + at);
        await fetch(`http://${origin}${path}`, { method: 'PUT', body });
      }
      await compare(name, both, scripts.get(bytes, files));
    }
    if (wanted.has('put-4k')) await compare('put-4k', both, scripts.put(4096));
    if (wanted.has('put-64k')) await compare('put-64k', both, scripts.put(65_536));
  } finally {
    await nginx.stop();
  }
  if (wanted.has('sync')) {
    const always = await startNode('always', '--sync', 'always');
    const batch = await startNode('batch', '--sync', 'batch');
    const one = { name: 'always, 1 connection', origin: always, connections: 1 };
    const many = { name: 'always, 64', origin: always, connections: 64 };
    const grouped = { name: 'batch, 64', origin: batch, connections: 64 };
    await compare('sync', [one, grouped], scripts.put(4096));
    await compare('sync', [many, grouped], scripts.put(4096));
  }
} finally {
  for (const child of children) await endProcess(child, 'SIGTERM');
  await rm(dir, { recursive: true, force: true });
}
