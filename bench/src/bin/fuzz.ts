#!/usr/bin/env node
/** Throws generated lines at a running tracker and says what was not as the protocol wants it. */
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { attack } from '../fuzz/attack.ts';

const help = `Throws generated lines at a running tracker. Never use it on a production system.

  fuzz --tracker HOST:PORT [--lines N] [--connections N] [--seed N] [--pid PID]

  --lines N        lines in all (default: 1000000)
  --connections N  connections (default: 16)
  --seed N         the same seed makes the same lines (default: 1)
  --pid PID        process of the tracker, whose memory is shown

Exit code 1 when something was wrong.
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    tracker: { type: 'string' },
    lines: { type: 'string', default: '1000000' },
    connections: { type: 'string', default: '16' },
    seed: { type: 'string', default: '1' },
    pid: { type: 'string' },
  },
});
const [host, port] = (values.tracker ?? '').split(':');
if (values.help === true || host === undefined || port === undefined) {
  process.stdout.write(help);
  process.exit(values.help === true ? 0 : 2);
}

function residentMib(): string {
  if (values.pid === undefined) return 'unknown';
  const status = readFileSync(`/proc/${values.pid}/status`, 'utf8');
  const kib = (name: string) => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1]);
  return `${Math.round(kib('VmRSS') / 1024)} MiB now, ${Math.round(kib('VmHWM') / 1024)} at most`;
}

const startedMs = performance.now();
const { replies, faults } = await attack({
  host,
  port: Number(port),
  lines: Number(values.lines),
  connections: Number(values.connections),
  seed: Number(values.seed),
});
const seconds = (performance.now() - startedMs) / 1000;
const took = `${replies} replies in ${seconds.toFixed(1)} s`;
process.stdout.write(`${took}, ${faults.length} faults; memory ${residentMib()}\n`);
for (const fault of faults.slice(0, 20)) process.stdout.write(`${fault.slice(0, 300)}\n`);
process.exit(faults.length === 0 ? 0 : 1);
