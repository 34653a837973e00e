/**
 * The closer look at one file and what follows from it (spec §5.5), under the lock that everything
 * shares that adds or removes replicas. Its findings, its changes and the end of its queue row are
 * one transaction, so that each finding is logged once whatever dies meanwhile. Rows of bad
 * replicas are forgotten; bytes are never deleted (I2).
 */

import { fidLock } from '../../store/fid-lock.ts';
import type {
  FsckEvent,
  FsckFile,
  FsckRepair,
  FsckRow,
  FsckState,
} from '../../store/fsck-store.ts';
import type { JobServices } from '../services.ts';
import { type ChecksumFindings, compareChecksums } from './checksums.ts';
import { type FsckMode, waitSeconds } from './inspect.ts';
import type { Judge } from './judge.ts';
import { isAhead, newsOf } from './news.ts';
import type { Reach } from './reach.ts';
import { searchDevices } from './search.ts';

export interface RepairParts {
  services: JobServices;
  reach: Reach;
  judge: Judge;
  /** Reads the topology again; resolves with a reading that began after the call. */
  reloadTopology: () => Promise<void>;
}

interface RepairRequest {
  row: FsckRow;
  mode: FsckMode;
  /** As it was after the row was claimed. */
  run: FsckState;
  stopping: AbortSignal;
}

interface Obstacle {
  devid: number;
  reason: string;
}

/** Replicas by what their devices say. */
interface Replicas {
  good: number[];
  /** On dead or unknown devices, missing, or of the wrong length. */
  bad: number[];
  unsure: Obstacle[];
  /** An operator may get their bytes back, so they go only beside one that is right (I2). */
  unreadable: Obstacle[];
}

const busyDelaySeconds = 15;

/** @returns whether the row is done; otherwise it waits for another try. */
export async function repair(parts: RepairParts, request: RepairRequest): Promise<boolean> {
  const { store } = parts.services;
  const { row, stopping } = request;
  const { fid } = row;
  const done = await store.withLock(fidLock(fid), async (lost) => {
    const [file] = await store.fsck.files([fid]);
    if (file !== undefined) {
      return repairFile(parts, { ...request, file, signals: [lost, stopping] });
    }
    await store.fsck.settle({ rows: [row], miscounted: [], waits: [] });
    return true;
  });
  if (done !== undefined) return done;
  const reason = 'another job works on the file';
  await store.fsck.putOff(row, { fid, delaySeconds: busyDelaySeconds, reason });
  return false;
}

async function repairFile(
  parts: RepairParts,
  request: RepairRequest & { file: FsckFile; signals: readonly AbortSignal[] },
): Promise<boolean> {
  const { services, judge } = parts;
  const { file, row, mode, signals } = request;
  // Another tracker may have created the device a moment ago.
  if (file.devids.some((devid) => services.topology.device(devid) === undefined)) {
    await parts.reloadTopology();
  }
  const events = countEvents(parts, file, mode);
  const replicas = await lookAtReplicas(parts, file, events);
  const { good, bad, unsure, unreadable } = replicas;
  let found: number | undefined;
  if (good.length === 0) {
    const obstacles = [...unsure, ...unreadable];
    if (obstacles.length > 0) return putOff(services, row, obstacles);
    const search = await searchDevices(parts, { file, except: file.devids, signals });
    found = search.found;
    if (found === undefined && search.unsure.length > 0) {
      return putOff(services, row, search.unsure);
    }
    events.push({ code: 'SRCH' }, { code: found === undefined ? 'GONE' : 'FOND' });
    if (found !== undefined) good.push(found);
  }
  const sums = await compareChecksums(parts, { file, devids: good, mode, signals });
  if (signals.some(({ aborted }) => aborted)) throw new Error('stopped before the file was judged');
  events.push(...sums.codes.map((code) => ({ code })));
  const lost = [...sums.unreadable];
  if (isRight(sums, good)) lost.push(...unreadable.map(({ devid }) => devid));
  else unsure.push(...unreadable);
  events.push(...lost.map((devid) => ({ code: 'MISS' as const, devid })));
  unsure.push(...sums.unread);
  const forget = [...bad, ...sums.corrupt, ...lost];
  const left = [...file.devids, ...(found === undefined ? [] : [found])];
  const holding = left.filter((devid) => !forget.includes(devid));
  const replicate = holding.length > 0 && judge.isViolated(file, holding);
  if (replicate && (!row.reported || forget.length > 0)) events.push({ code: 'REPL' });
  const first = unsure[0];
  const run = (await isAhead(services.store, request.run, file)) ? request.run : undefined;
  const news = newsOf(events, { row, run });
  const reported = row.reported || (run === undefined && news.length > 0);
  await write(services, {
    row,
    events: news,
    forget,
    ...(found === undefined ? {} : { found }),
    ...(sums.checksum === undefined ? {} : { checksum: sums.checksum }),
    replicate,
    recount: !mode.skipDevcount,
    ...(first === undefined ? {} : { wait: waitFor(row, first, reported) }),
  });
  return first === undefined;
}

/** Whether one of the replicas is right as far as can be known. */
function isRight(
  { codes, corrupt, unreadable, unread }: ChecksumFindings,
  good: number[],
): boolean {
  const doubted = new Set([...corrupt, ...unreadable, ...unread.map(({ devid }) => devid)]);
  const differ = codes.includes('BSUM') || codes.includes('MSUM');
  return !differ && good.some((devid) => !doubted.has(devid));
}

/** What the database alone says; the codes of steps 1 to 3. */
function countEvents({ judge, reach }: RepairParts, file: FsckFile, mode: FsckMode): FsckEvent[] {
  const { devids, devcount } = file;
  if (devids.length === 0) return [{ code: 'NOPA' }];
  // What lies on dead devices is the reaper's business, and no violation by itself.
  const isGone = devids.some((devid) => reach.isGone(devid));
  if (!isGone && judge.isViolated(file, devids)) return [{ code: 'POVI' }];
  return !mode.skipDevcount && devcount !== devids.length ? [{ code: 'BCNT' }] : [];
}

async function lookAtReplicas(
  { reach, services }: RepairParts,
  file: FsckFile,
  events: FsckEvent[],
): Promise<Replicas> {
  const replicas: Replicas = { good: [], bad: [], unsure: [], unreadable: [] };
  const devids = file.devids.toSorted((a, b) => a - b);
  const looks = await Promise.all(
    devids.map((devid) => (reach.isGone(devid) ? undefined : reach.lookClosely(file, devid))),
  );
  for (const [at, look] of looks.entries()) {
    const devid = devids[at] as number;
    if (look?.state === 'good') replicas.good.push(devid);
    else if (look?.state === 'unsure') replicas.unsure.push({ devid, reason: look.reason });
    else if (look?.state === 'unreadable') replicas.unreadable.push({ devid, reason: look.reason });
    else replicas.bad.push(devid);
    if (look?.state === 'missing') events.push({ code: 'MISS', devid });
    if (look?.state !== 'wrong') continue;
    events.push({ code: 'BLEN', devid });
    const { fid, length } = file;
    services.log.warn({ fid, devid, bytes: look.bytes, length }, 'fsck.length_wrong');
  }
  return replicas;
}

function waitFor(row: FsckRow, { devid, reason }: Obstacle, reported: boolean) {
  const { fid, failcount } = row;
  const delaySeconds = waitSeconds(failcount);
  return { fid, devid, reason, delaySeconds, failcount: failcount + 1, reported };
}

/** Nothing is known for sure, so nothing is logged or changed. */
async function putOff(
  { store, log }: JobServices,
  row: FsckRow,
  obstacles: readonly Obstacle[],
): Promise<false> {
  const [first] = obstacles;
  if (first === undefined) return false;
  const { fid, failcount } = row;
  await store.fsck.putOff(row, waitFor(row, first, row.reported));
  log.warn({ fid, failcount, ...first, devices: obstacles.length }, 'fsck.postponed');
  return false;
}

async function write({ store, log }: JobServices, result: FsckRepair): Promise<void> {
  if (!(await store.fsck.repair(result))) return;
  const { row, events, forget, found, wait } = result;
  const codes = events.map(({ code }) => code);
  if (codes.length === 0 && forget.length === 0 && wait === undefined) return;
  const waitsFor = wait?.reason;
  log.info({ fid: row.fid, codes, forget, found, waitsFor }, 'fsck.repaired');
}
