#!/usr/bin/env node
/**
 * Compares the tracker with a bare line echo server in the same run, turn by turn: one process and
 * several, and looks whether its memory stays flat over many requests.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { Cleanup } from '../cleanup.ts';
import { median } from '../load/statistics.ts';

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

/** Callers on connections of their own; each sends its next line when the last was answered. */
async function requestsPerSecond(port: number): Promise<number> {
  const sockets = await dial(port);
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
  for (const socket of sockets) socket.destroy();
  return rate;
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

function dial(port: number): Promise<Socket[]> {
  return Promise.all(
    Array.from({ length: connections }, async () => {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true });
      socket.on('error', () => {});
      await once(socket, 'connect');
      return socket;
    }),
  );
}

function residentMib(pid: number | undefined): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024;
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
  const echo: ChildProcess = fork(script);
  cleanup.add(async () => void echo.kill());
  const [echoPort] = (await once(echo, 'message')) as [number];
  const kinds = {
    'one process': await start(0),
    '1 query process': await start(1),
    '2 query processes': await start(2),
  };
  const ratios = new Map<string, number[]>();
  const echoRates: number[] = [];
  await requestsPerSecond(echoPort);
  for (let round = 0; round < rounds; round += 1) {
    const bare = await requestsPerSecond(echoPort);
    echoRates.push(bare);
    for (const [name, cluster] of Object.entries(kinds)) {
      const rate = await requestsPerSecond(portOf(cluster));
      ratios.set(name, [...(ratios.get(name) ?? []), rate / bare]);
    }
  }
  process.stdout.write(`echo: ${Math.round(median(echoRates))} lines/s\n`);
  for (const [name, list] of ratios) {
    const range = `${Math.min(...list).toFixed(2)} to ${Math.max(...list).toFixed(2)}`;
    process.stdout.write(`noop, ${name}: ${median(list).toFixed(2)} of echo (${range})\n`);
  }
  const single = kinds['one process'];
  const pid = single.trackerDaemons[0]?.pid;
  const memory = [residentMib(pid)];
  for (const part of [0.1, 1, 1]) {
    await flood(portOf(single), Number(values.requests) * part);
    memory.push(residentMib(pid));
  }
  const [idle, warm, first, second] = memory.map((mib) => Math.round(mib));
  process.stdout.write(
    `memory: ${idle} MiB idle, ${warm} after a warm-up, ` +
      `${first} and ${second} after ${values.requests} requests each\n`,
  );
} finally {
  await cleanup.run();
}
