/**
 * Drives a rebalance one step at a time (spec §7.2): marks a source as drain, queues the moves of
 * its files, gives it back its state, takes the next. The position moves in the transaction that
 * queues the moves, and only when everything is as it was read, so that any tracker can go on.
 */
import { isTrue, OmgfsError } from '@omgfs/protocol';
import type { DeviceStatus } from '../../placement/model.ts';
import { chooseRooms } from '../../placement/rebalance/even.ts';
import { parseDrains, parseNotes, type RunNotes } from '../../placement/rebalance/own.ts';
import {
  parseRebalancePolicy,
  type RebalancePolicy,
  rebalanceHost,
} from '../../placement/rebalance/policy.ts';
import {
  type RebalanceDevice,
  selectTargets,
  shuffled,
  usedBytes,
} from '../../placement/rebalance/select.ts';
import { parseRebalanceState } from '../../placement/rebalance/state.ts';
import {
  type FileOnDevice,
  rebalanceField as field,
  type MoveRow,
  type RebalanceRecords,
} from '../../store/rebalance-store.ts';
import { rebalanceDevices } from '../../topology/rebalance-view.ts';
import type { JobServices } from '../services.ts';
import { hasMovesInWork, planRound } from './even-round.ts';
import { type Run, type RunSettings, save } from './save.ts';

/** Less than this left of a limit in bytes counts as used up. */
const bytesLeftMin = 1024;
const rateDefault = 500;
const sizeDefault = 10_000;
/** Files are spread over a few targets each, so that the policy of their class has a choice. */
const roomsPerFile = 3;

/** @returns whether there is more to do right away. */
export async function stepRun(
  services: JobServices,
  records: RebalanceRecords,
  settings: RunSettings,
): Promise<boolean> {
  const host = records.settings.get(field.host);
  if (!isTrue(host)) return false;
  const state = parseRebalanceState(records.settings.get(field.state) ?? '');
  const notes = parseNotes(records.settings.get(field.own), state.timeStarted);
  const stopping = isTrue(records.settings.get(field.signal));
  const policy = readPolicy(records);
  const run = { records, state, notes };
  if (policy instanceof OmgfsError || stopping) {
    const waiting = policy instanceof OmgfsError ? `bad policy: ${policy.message}` : 'stopped';
    services.log.warn({ reason: waiting }, 'rebalance.stopped');
    return endRun(services, { ...run, notes: { ...notes, waiting } }, 'timeStopped');
  }
  const { queued } = await services.store.rebalance.counts();
  if (queued >= positive(records.settings.get(field.size), sizeDefault)) return false;
  const whole: Run = { ...run, policy };
  const ours = rebalanceHost(settings.hostname, policy);
  if (host !== ours) return save(services, run, { settings: { [field.host]: ours } });
  if (state.current === 0) return nextSource(services, whole, settings);
  if (notes.marked !== state.current) return markSource(services, whole);
  return queueMoves(services, whole);
}

function readPolicy({ settings }: RebalanceRecords): RebalancePolicy | OmgfsError {
  try {
    return parseRebalancePolicy(settings.get(field.policy) ?? '');
  } catch (error) {
    if (error instanceof OmgfsError) return error;
    throw error;
  }
}

function positive(text: string | undefined, fallback: number): number {
  return text !== undefined && /^[1-9]\d{0,8}$/.test(text) ? Number(text) : fallback;
}

/** Ends the run, and gives the source its state back; what is queued is still worked off. */
async function endRun(
  services: JobServices,
  run: Pick<Run, 'records' | 'state' | 'notes'>,
  as: 'timeStopped' | 'timeFinished',
): Promise<boolean> {
  const { records } = run;
  const state = { ...run.state, [as]: records.now };
  await save(
    services,
    { records, state, notes: { ...run.notes, marked: 0 } },
    {
      settings: { [field.host]: undefined, [field.signal]: undefined },
      statuses: restored(run),
    },
  );
  return false;
}

/** Puts the current source back, unless somebody wants it empty or has changed it meanwhile. */
function restored(
  { records, state, notes }: Pick<Run, 'records' | 'state' | 'notes'>,
  policy?: RebalancePolicy,
): { devid: number; from: DeviceStatus; to: DeviceStatus }[] {
  const devid = state.current;
  const drains = parseDrains(records.settings.get(field.drains));
  if (devid === 0 || policy?.leaveInDrain || drains.some((drain) => drain.devid === devid)) {
    return [];
  }
  // A run that a tracker of the original began has no note; it always starts from alive.
  if (notes.marked !== devid && notes.token !== '') return [];
  const was = notes.marked === devid ? notes.was : 'alive';
  return was === 'drain' ? [] : [{ devid, from: 'drain', to: was }];
}

async function nextSource(
  services: JobServices,
  run: Run,
  settings: RunSettings,
): Promise<boolean> {
  const { policy, state, notes } = run;
  const [current, ...sources] = state.sources;
  if (current === undefined) {
    if (policy.even !== undefined) return planRound(services, run, settings, finishRun);
    return finishRun(services, run, '');
  }
  // What the last source gives must have arrived, or its files would be counted twice.
  if (policy.even !== undefined && (await hasMovesInWork(services))) return false;
  const device = rebalanceDevices(services, run.records).find(({ devid }) => devid === current);
  if (device === undefined || !device.deletable) {
    const completed = [...state.completed, current];
    return save(services, { ...run, state: { ...state, sources, completed } });
  }
  const deviceLimit = limitOf(policy, notes, device);
  const fresh = { ...state, sources, current, lastFid: 0, deviceLimit };
  return save(services, { ...run, state: fresh, notes: { ...notes, waiting: '' } });
}

function finishRun(services: JobServices, run: Run, waiting: string): Promise<boolean> {
  services.log.info({ files: run.state.fidsQueued, reason: waiting }, 'rebalance.finished');
  return endRun(services, { ...run, notes: { ...run.notes, waiting } }, 'timeFinished');
}

function limitOf(policy: RebalancePolicy, notes: RunNotes, device: RebalanceDevice): number {
  if (policy.even !== undefined) {
    return notes.sheds.find(([devid]) => devid === device.devid)?.[1] ?? 0;
  }
  if (policy.limitType !== 'device') return 0;
  if (policy.limitBy !== 'percent') return policy.limit;
  return Math.floor((usedBytes(device) * policy.limit) / 100);
}

/** New files stay off a source; it keeps whatever other state it has. */
function markSource(services: JobServices, run: Run): Promise<boolean> {
  const { records, state } = run;
  const isTakenOver = run.notes.token === '' && state.lastFid > 0;
  const was = isTakenOver ? 'alive' : (records.statuses.get(state.current) ?? 'down');
  const notes = { ...run.notes, marked: state.current, was };
  const statuses = [{ devid: state.current, from: 'alive', to: 'drain' }] as const;
  return save(services, { ...run, notes }, { statuses });
}

async function queueMoves(services: JobServices, run: Run): Promise<boolean> {
  const { records, policy, state } = run;
  if (isUsedUp(run)) return finishSource(services, run);
  const targets = targetsOf(services, run);
  if (targets.length === 0) return waitFor(services, run, 'no device may take files now');
  const files = await services.store.rebalance.filesOn({
    devid: state.current,
    after: state.lastFid,
    limit: positive(records.settings.get(field.rate), rateDefault),
    newestFirst: policy.newestFirst,
  });
  if (files.length === 0) return finishSource(services, run);
  const holders = await services.store.replicasOf(files.map(({ fid }) => fid));
  const next = structuredClone({ ...run, records: undefined });
  const moves: MoveRow[] = [];
  for (const file of files) {
    if (isUsedUp(next)) break;
    next.state.lastFid = file.fid;
    if (!file.isFile || !fits(next, file)) continue;
    const possible = possibleFor(services, next, targets, holders.get(file.fid) ?? []);
    const chosen = choose(services, next, file, possible);
    if (chosen.length === 0) continue;
    moves.push({ fid: file.fid, devid: state.current, targets: chosen });
    count(next, file);
  }
  next.state.timeLatestRun = records.now;
  next.notes.waiting = '';
  return save(services, { ...next, records }, { moves });
}

function targetsOf(services: JobServices, { records, policy, state, notes }: Run): number[] {
  const devices = rebalanceDevices(services, records);
  if (policy.even !== undefined) {
    const taking = new Set(devices.filter((one) => one.takesFiles).map(({ devid }) => devid));
    return notes.rooms.map(([devid]) => devid).filter((devid) => taking.has(devid));
  }
  return selectTargets(policy, devices, [...state.sources, state.current, ...state.completed]);
}

type Step = Omit<Run, 'records'>;

/**
 * Targets that do not hold the file. When evening out also none on the host of another copy, where
 * most policies would not have it: the plan counts on each of its moves.
 */
function possibleFor(
  { topology }: JobServices,
  { policy, state }: Step,
  targets: readonly number[],
  holders: readonly number[],
): number[] {
  const free = targets.filter((devid) => !holders.includes(devid));
  if (policy.even === undefined) return free;
  const hostOf = (devid: number) => topology.device(devid)?.hostid;
  const others = holders.filter((devid) => devid !== state.current).map(hostOf);
  const own = hostOf(state.current);
  return free.filter((devid) => hostOf(devid) === own || !others.includes(hostOf(devid)));
}

function choose(
  { random }: JobServices,
  { policy, notes }: Step,
  file: FileOnDevice,
  targets: readonly number[],
): number[] {
  if (policy.even === undefined) {
    return shuffled(targets, policy.targetsMax ?? targets.length, random);
  }
  const rooms = notes.rooms.filter(([devid]) => targets.includes(devid));
  return chooseRooms(rooms, { bytes: file.length, count: roomsPerFile, random });
}

function limitKey({ policy }: Step): 'deviceLimit' | 'limit' {
  return policy.limitType === 'global' ? 'limit' : 'deviceLimit';
}

function isUsedUp(step: Step): boolean {
  const { limitBy, even } = step.policy;
  const left = step.state[limitKey(step)];
  if (even !== undefined) return left <= 0;
  return limitBy !== 'none' && left < (limitBy === 'count' ? 1 : bytesLeftMin);
}

function fits(step: Step, { length }: FileOnDevice): boolean {
  const { limitBy, even } = step.policy;
  if (even === undefined && (limitBy === 'none' || limitBy === 'count')) return true;
  return length <= step.state[limitKey(step)];
}

function count(step: Step, { length }: FileOnDevice): void {
  const { policy, state, notes } = step;
  state.fidsQueued += 1;
  state.bytesQueued += length;
  if (policy.even !== undefined || policy.limitBy !== 'none') {
    state[limitKey(step)] -= policy.limitBy === 'count' ? 1 : length;
  }
  // Which of its targets takes the file is up to the policy of its class; on average it is these.
  const rooms = notes.rooms.map(([devid, room]) => [devid, room] as const);
  const total = rooms.reduce((sum, [, room]) => sum + room, 0);
  const share = total === 0 ? 0 : length / total;
  step.notes = {
    ...notes,
    rooms: rooms.map(([devid, room]) => [devid, Math.max(0, Math.floor(room * (1 - share)))]),
  };
}

async function waitFor(services: JobServices, run: Run, waiting: string): Promise<boolean> {
  const { records, state, notes } = run;
  // Said once, and then once a minute, so that waiting costs the database little.
  const isNews = notes.waiting !== waiting || records.now - state.timeLatestEmptyRun >= 60;
  if (!isNews) return false;
  const next = { ...state, emptyRuns: state.emptyRuns + 1, timeLatestEmptyRun: records.now };
  const saved = await save(services, { ...run, state: next, notes: { ...notes, waiting } });
  if (saved) services.log.warn({ devid: state.current, reason: waiting }, 'rebalance.waiting');
  return false;
}

async function finishSource(services: JobServices, run: Run): Promise<boolean> {
  const { policy, state, notes } = run;
  const isOver = policy.limitType === 'global' && policy.limitBy !== 'none' && isUsedUp(run);
  const next = {
    ...state,
    completed: [...state.completed, state.current],
    sources: isOver ? [] : state.sources,
    current: 0,
    lastFid: 0,
  };
  const statuses = restored(run, policy);
  return save(services, { ...run, state: next, notes: { ...notes, marked: 0 } }, { statuses });
}
