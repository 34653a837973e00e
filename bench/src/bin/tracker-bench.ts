#!/usr/bin/env node
/**
 * Compares the tracker with a bare line echo server in the same run, turn by turn: one process and
 * several, by their rates and by what a request costs the process that answers it; and looks
 * whether the memory of every process stays flat over many requests.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { Cleanup } from '../cleanup.ts';
import { median } from '../load/statistics.ts';
import { readCosts } from '../report/processes.ts';

const help = `Compares a tracker with a bare line echo server.

  tracker-bench [--connections N] [--rounds N] [--seconds S] [--requests N]

  --connections N  callers with one request in flight each (default: 64)
  --rounds N       turns of each; medians are printed (default: 5)
  --seconds S      length of a turn (default: 2)
  --requests N     requests between two looks at the memory (default: 1000000)
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    connections: { type: 'string', default: '64' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '2' },
    requests: { type: 'string', default: '1000000' },
  },
});
if (values.help === true) {
  process.stdout.write(help);
  process.exit(0);
}
const connections = Number(values.connections);
const rounds = Number(values.rounds);
const turnMs = Number(values.seconds) * 1000;

interface Turn {
  rate: number;
  /** Processor time of the processes that answer, in µs a request. */
  cost: number;
}

/** Callers on connections of their own; each sends its next line when the last was answered. */
async function measure({ port, pids }: Answering): Promise<Turn> {
  const sockets = await dial(port);
  const before = cpuMs(pids);
  let answered = 0;
  for (const socket of sockets) {
    socket.on('data', () => {
      answered += 1;
      socket.write('noop\r\n');
    });
    socket.write('noop\r\n');
  }
  const startedMs = performance.now();
  await new Promise((resolve) => setTimeout(resolve, turnMs));
  const rate = (answered * 1000) / (performance.now() - startedMs);
  const cost = ((cpuMs(pids) - before) * 1000) / answered;
  for (const socket of sockets) socket.destroy();
  return { rate, cost };
}

interface Answering {
  port: number;
  /** The processes that answer. */
  pids: readonly number[];
}

function cpuMs(pids: readonly number[]): number {
  const processes = pids.map((pid) => ({ name: 'all', pid, alone: true }));
  return readCosts(processes).get('all')?.cpuMs ?? 0;
}

/** So many requests, many in flight on each connection. */
async function flood(port: number, requests: number): Promise<void> {
  const depth = 100;
  const sockets = await dial(port);
  const share = Math.ceil(requests / sockets.length / depth);
  await Promise.all(
    sockets.map(async (socket) => {
      for (let batch = 0; batch < share; batch += 1) {
        let lines = 0;
        socket.write('noop\r\n'.repeat(depth));
        while (lines < depth) {
          const [data] = (await once(socket, 'data')) as [Buffer];
          lines += String(data).split('\n').length - 1;
        }
      }
    }),
  );
  for (const socket of sockets) socket.destroy();
}

function dial(port: number, count = connections): Promise<Socket[]> {
  return Promise.all(
    Array.from({ length: count }, async () => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true });
      socket.on('error', () => {});
      await once(socket, 'connect');
      return socket;
    }),
  );
}

/** Every process of a tracker by its `!jobs`: those that answer, and all. */
async function processesOf(cluster: LocalCluster): Promise<{ all: number[]; query: number[] }> {
  const [socket] = await dial(portOf(cluster), 1);
  if (socket === undefined) throw new Error('the tracker does not answer');
  let text = '';
  socket.on('data', (data) => {
    text += String(data);
  });
  socket.write('!jobs\r\n');
  while (!text.endsWith('.\r\n')) await once(socket, 'data');
  socket.destroy();
  const pidsOf = (job: string) =>
    (new RegExp(`^${job} pids (.*)\r$`, 'm').exec(text)?.[1] ?? '').split(' ').map(Number);
  const query = pidsOf('queryworker');
  const front = cluster.trackerDaemons[0]?.pid ?? 0;
  return { query, all: [...new Set([front, ...pidsOf('monitor'), ...query])] };
}

/** MiB of each process. */
function residentMib(pids: readonly number[]): number[] {
  const costs = readCosts(pids.map((pid) => ({ name: String(pid), pid, alone: true })));
  return pids.map((pid) => Math.round((costs.get(String(pid))?.residentBytes ?? 0) / 1024 ** 2));
}

const cleanup = new Cleanup();
const portOf = (cluster: LocalCluster) => Number((cluster.trackers[0] ?? '').split(':')[1]);

async function start(processes: number): Promise<LocalCluster> {
  const cluster = await startLocalCluster({
    hosts: 1,
    devicesPerHost: 1,
    domain: 'bench',
    extraTrackerArgs: ['--query_processes', String(processes)],
  });
  cleanup.add(() => cluster.stop());
  return cluster;
}

try {
  const script = fileURLToPath(new URL('./echo-server.js', import.meta.url));
  const child: ChildProcess = fork(script);
  cleanup.add(async () => void child.kill());
  const [echoPort] = (await once(child, 'message')) as [number];
  const echo = { port: echoPort, pids: [child.pid ?? 0] };
  const clusters = {
    'one process': await start(0),
    '1 query process': await start(1),
    '2 query processes': await start(2),
  };
  const kinds = await Promise.all(
    Object.entries(clusters).map(async ([name, cluster]) => {
      const processes = await processesOf(cluster);
      return { name, port: portOf(cluster), pids: processes.query, all: processes.all };
    }),
  );
  // A minute after the start, what the start needed is given back.
  await new Promise((resolve) => setTimeout(resolve, 60_000));
  for (const { name, all } of kinds) {
    process.stdout.write(`idle, ${name}: ${residentMib(all).join(', ')} MiB\n`);
  }
  const seen = new Map<string, Turn[]>();
  const bare: Turn[] = [];
  await measure(echo);
  for (let round = 0; round < rounds; round += 1) {
    bare.push(await measure(echo));
    for (const kind of kinds) {
      seen.set(kind.name, [...(seen.get(kind.name) ?? []), await measure(kind)]);
    }
  }
  const rate = Math.round(median(bare.map((turn) => turn.rate)));
  const cost = median(bare.map((turn) => turn.cost)).toFixed(1);
  process.stdout.write(`echo: ${rate} lines/s, ${cost} µs of processor time a line\n`);
  const shares = (turns: readonly Turn[], of: (turn: Turn, other: Turn) => number) => {
    const list = turns.map((turn, round) => of(turn, bare[round] as Turn));
    const range = `${Math.min(...list).toFixed(2)} to ${Math.max(...list).toFixed(2)}`;
    return `${median(list).toFixed(2)} of echo (${range})`;
  };
  for (const [name, turns] of seen) {
    const rates = shares(turns, (turn, other) => turn.rate / other.rate);
    const costs = shares(turns, (turn, other) => other.cost / turn.cost);
    const own = median(turns.map((turn) => turn.cost)).toFixed(1);
    process.stdout.write(`noop, ${name}: ${rates} by rate, ${costs} by cost, ${own} µs\n`);
  }
  const requests = Number(values.requests);
  for (const { name, port, all } of kinds) {
    const memory = [];
    for (const part of [0.1, 1, 1]) {
      await flood(port, requests * part);
      memory.push(residentMib(all).join(', '));
    }
    const [warm, first, second] = memory;
    process.stdout.write(
      `memory, ${name}, MiB a process: ${warm} after a warm-up, ` +
        `${first} and ${second} after ${requests} requests each\n`,
    );
  }
} finally {
  await cleanup.run();
}
