/** Works off the queue of checks, whoever filled it: a run of ours or that of a Perl tracker. */
import type { FsckRow, FsckState } from '../../store/fsck-store.ts';
import { Job } from '../job.ts';
import { type FsckMode, type Inspector, modeOf, waitSeconds } from './inspect.ts';
import { type RepairParts, repair } from './repair.ts';
import { forEachOf } from './slots.ts';

/** Rows that one unit of the job claims. */
const unitRowsMax = 50;
const repairsAtOnce = 8;
const errorDelaySeconds = 15;

export function createQueueJob(
  parts: RepairParts & { inspector: Inspector },
  options: { concurrency: number; idleMs: number; claimSeconds: number },
): Job<FsckRow[]> {
  const { store, log } = parts.services;
  const { claimSeconds } = options;
  return new Job<FsckRow[]>({
    name: 'fsck',
    log,
    concurrency: options.concurrency,
    idleMs: options.idleMs,
    claimSeconds,
    claim: async (limit) => {
      const rows = await store.fsck.claim(limit * unitRowsMax, claimSeconds);
      const units: FsckRow[][] = [];
      for (let at = 0; at < rows.length; at += unitRowsMax) {
        units.push(rows.slice(at, at + unitRowsMax));
      }
      return units;
    },
    rowsOf: (rows) => rows.length,
    renew: (units) => store.fsck.renew(units.flat(), claimSeconds),
    work: (rows, stopping) => work(parts, rows, stopping),
    putOff: async (rows) => {
      const reason = 'the check failed; the log of the tracker says why';
      for (const row of rows) {
        const failcount = row.failcount + 1;
        const wait = { fid: row.fid, delaySeconds: errorDelaySeconds, failcount, reason };
        await store.fsck.putOff(row, wait);
      }
    },
  });
}

async function work(
  parts: RepairParts & { inspector: Inspector },
  rows: readonly FsckRow[],
  stopping: AbortSignal,
): Promise<number> {
  const state = await parts.services.store.fsck.state();
  const mode = modeOf(state);
  const asking = mode.policyOnly ? rows.filter((row) => row.asksDevices) : rows;
  const others = rows.filter((row) => !asking.includes(row));
  const full = { ...mode, policyOnly: false };
  let waiting = 0;
  if (asking.length > 0) {
    waiting += await workInMode(parts, { rows: asking, mode: full, state, stopping });
  }
  if (others.length > 0)
    waiting += await workInMode(parts, { rows: others, mode, state, stopping });
  return waiting;
}

async function workInMode(
  parts: RepairParts & { inspector: Inspector },
  request: {
    rows: readonly FsckRow[];
    mode: FsckMode;
    state: FsckState;
    stopping: AbortSignal;
  },
): Promise<number> {
  const { rows, mode, state, stopping } = request;
  const { fsck } = parts.services.store;
  const byFid = new Map(rows.map((row) => [row.fid, row]));
  const files = await fsck.files([...byFid.keys()]);
  const findings = await parts.inspector.inspect(files, mode);
  const { suspects, miscounted, waits } = findings;
  const open = new Set([...suspects, ...waits.map(({ fid }) => fid)]);
  await fsck.settle({
    rows: rows.filter(({ fid }) => !open.has(fid)),
    miscounted,
    waits: waits.map((wait) => {
      const { failcount = 0, reported = false } = byFid.get(wait.fid) ?? {};
      const delaySeconds = waitSeconds(failcount);
      return { ...wait, delaySeconds, failcount: failcount + 1, reported, asksDevices: true };
    }),
  });
  parts.inspector.report(findings);
  let waiting = waits.length;
  await forEachOf(suspects, repairsAtOnce, async (fid) => {
    const row = byFid.get(fid);
    const request = row && { row, mode, run: state, stopping };
    if (request !== undefined && !(await repair(parts, request))) waiting += 1;
  });
  return waiting;
}
