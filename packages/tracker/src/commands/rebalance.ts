/**
 * `rebalance_*` (spec §2.5, §7), and `rebalance_even`, which old clients never send. The rows they
 * write are those of the original, so that its tools and trackers can read and steer our runs.
 */
import { randomUUID } from 'node:crypto';
import { isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import { noNotes, parseNotes } from '../placement/rebalance/own.ts';
import {
  idsIn,
  parseRebalancePolicy,
  type RebalancePolicy,
  rebalanceHost,
} from '../placement/rebalance/policy.ts';
import { selectSources, selectTargets, usedBytes } from '../placement/rebalance/select.ts';
import {
  emptyRebalanceState,
  formatRebalanceState,
  parseRebalanceState,
  type RebalanceState,
} from '../placement/rebalance/state.ts';
import {
  rebalanceField as field,
  type MoveCounts,
  type RebalanceRecords,
} from '../store/rebalance-store.ts';
import { rebalanceDevices } from '../topology/rebalance-view.ts';
import type { Command } from './command.ts';
import { waitingTexts } from './explain/wait-reasons.ts';
import type { CommandServices } from './services.ts';

const toleranceDefault = '5';
const countMax = 1_000_000;
const attemptsMax = 20;

export function rebalanceCommands(services: CommandServices): Record<string, Command> {
  return {
    rebalance_set_policy: ({ args }) => setPolicy(services, args.policy ?? ''),
    rebalance_test: () => test(services),
    rebalance_start: () => start(services),
    rebalance_even: async ({ args }) => {
      const { tolerance = toleranceDefault, by = 'usage' } = args;
      if (tolerance === '' || by === '') throw new OmgfsError('BAD_PARAMS');
      await setPolicy(services, `omg_even=${tolerance} omg_even_by=${by}`);
      return start(services);
    },
    rebalance_status: ({ args }) => status(services, isTrue(args.details)),
    rebalance_stop: async () => {
      await change(services, ({ settings }) => {
        if (!isTrue(settings.get(field.host))) throw new OmgfsError('REBAL_NOT_STARTED');
        return { [field.signal]: 'stop' };
      });
      services.wakeRebalance();
      return {};
    },
    rebalance_reset: async () => {
      await change(services, ({ settings }) => {
        if (isTrue(settings.get(field.host))) throw running();
        return { [field.state]: undefined, [field.own]: undefined };
      });
      return {};
    },
  };
}

function running(): OmgfsError {
  return new OmgfsError('REBAL_ACTIVE');
}

type Changes = Partial<Record<(typeof field)[keyof typeof field], string | undefined>>;

/**
 * Decides on the records as they are, and again when the run, or somebody else, has just changed
 * them. @throws what `decide` throws; DB_BUSY when others never stop changing them.
 */
async function change(
  { store }: CommandServices,
  decide: (records: RebalanceRecords) => Changes,
): Promise<void> {
  const names = [field.host, field.policy, field.state, field.fsckHost] as const;
  for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
    const records = await store.rebalance.records();
    const settings = decide(records);
    const expect = Object.fromEntries(names.map((name) => [name, records.settings.get(name)]));
    if (await store.rebalance.change({ expect, settings })) return;
  }
  const message = 'The state of the rebalance keeps changing; look at it and try again.';
  throw new OmgfsError('DB_BUSY', { message });
}

/** @throws NO_SET_REBAL, BAD_REBAL_POL. An empty policy is none. */
async function setPolicy(services: CommandServices, text: string): Promise<ReplyFields> {
  const { settings } = await services.store.rebalance.records();
  if (isTrue(settings.get(field.host))) throw new OmgfsError('NO_SET_REBAL');
  const policy = parseRebalancePolicy(text);
  if (unknownId(services, policy) !== undefined) {
    // It may have been created through another tracker just now.
    await services.refresh();
    const unknown = unknownId(services, policy);
    if (unknown !== undefined) {
      throw new OmgfsError('BAD_REBAL_POL', { wireText: `There is no ${unknown}` });
    }
  }
  await change(services, (records) => {
    if (isTrue(records.settings.get(field.host))) throw new OmgfsError('NO_SET_REBAL');
    return {
      [field.policy]: text.trim() === '' ? undefined : text.trim(),
      [field.state]: undefined,
      [field.own]: undefined,
    };
  });
  return {};
}

function unknownId({ topology }: CommandServices, policy: RebalancePolicy): string | undefined {
  const { hosts, devices } = idsIn(policy);
  const devid = devices.find((one) => topology.device(one) === undefined);
  if (devid !== undefined) return `device ${devid}`;
  const hostid = hosts.find((one) => topology.host(one) === undefined);
  return hostid === undefined ? undefined : `host ${hostid}`;
}

/** @throws NO_REBAL_POLICY, BAD_REBAL_POL for one that somebody else has stored. */
function storedPolicy({ settings }: RebalanceRecords): RebalancePolicy {
  const text = settings.get(field.policy);
  if (!isTrue(text)) throw new OmgfsError('NO_REBAL_POLICY');
  return parseRebalancePolicy(text ?? '');
}

async function test(services: CommandServices): Promise<ReplyFields> {
  const records = await services.store.rebalance.records();
  const policy = storedPolicy(records);
  const devices = rebalanceDevices(services, records);
  const sources = selectSources(policy, devices);
  const targets = selectTargets(policy, devices, sources);
  return { sdevs: sources.join(','), ddevs: targets.join(',') };
}

/** @throws REBAL_ACTIVE, FSCK_RUNNING, NO_REBAL_POLICY, BAD_REBAL_POL. */
async function start(services: CommandServices): Promise<ReplyFields> {
  let text = '';
  await change(services, (records) => {
    const { settings } = records;
    if (isTrue(settings.get(field.host))) throw running();
    if (isTrue(settings.get(field.fsckHost))) throw new OmgfsError('FSCK_RUNNING');
    const policy = storedPolicy(records);
    const kept = parseRebalanceState(settings.get(field.state) ?? '');
    const goesOn = kept.timeStarted > 0 && kept.timeFinished === 0;
    const state = goesOn ? { ...kept, timeStopped: 0 } : freshState(services, records, policy);
    const before = goesOn ? parseNotes(settings.get(field.own), state.timeStarted) : noNotes;
    const notes = { ...before, started: state.timeStarted, token: randomUUID(), waiting: '' };
    text = formatRebalanceState(state);
    return {
      [field.state]: text,
      [field.own]: JSON.stringify(notes),
      [field.host]: rebalanceHost(services.hostname, policy),
      [field.signal]: undefined,
    };
  });
  services.wakeRebalance();
  return { state: text };
}

function freshState(
  services: CommandServices,
  records: RebalanceRecords,
  policy: RebalancePolicy,
): RebalanceState {
  const devices = rebalanceDevices(services, records);
  // What is to be evened out is planned round by round.
  const sources = policy.even === undefined ? selectSources(policy, devices) : [];
  const used = devices
    .filter(({ devid }) => sources.includes(devid))
    .reduce((sum, device) => sum + usedBytes(device), 0);
  const { limitType, limitBy, limit } = policy;
  const whole = limitBy === 'percent' ? Math.floor((used * limit) / 100) : limit;
  return {
    ...emptyRebalanceState,
    sources,
    limit: limitType === 'global' ? whole : 0,
    timeStarted: records.now,
  };
}

/** @throws NO_REBAL_STATE. `details` adds what old clients never ask for. */
async function status(services: CommandServices, details: boolean): Promise<ReplyFields> {
  const records = await services.store.rebalance.records();
  const text = records.settings.get(field.state);
  if (!isTrue(text)) throw new OmgfsError('NO_REBAL_STATE');
  if (!details) return { state: text };
  const state = parseRebalanceState(text ?? '');
  const notes = parseNotes(records.settings.get(field.own), state.timeStarted);
  const { queued, waiting } = await services.store.rebalance.counts();
  const devids = [...new Set([state.current, ...state.sources])].filter((devid) => devid !== 0);
  const counts = await Promise.all(
    devids.map((devid) => services.store.rebalance.countOn(devid, countMax)),
  );
  const isRunning = isTrue(records.settings.get(field.host));
  const done = Math.max(0, state.fidsQueued - queued);
  const remaining = queued + (isRunning ? counts.reduce((sum, one) => sum + one, 0) : 0);
  const isBlocked = isRunning && notes.waiting !== '' && queued === 0;
  const perSecond = isBlocked ? 0 : await movesPerSecond(services, { queued, waiting });
  return {
    state: text,
    running: isRunning ? 1 : 0,
    ...((await isPaused(services)) ? { paused: 1 } : {}),
    host: records.settings.get(field.host) ?? '',
    policy: records.settings.get(field.policy) ?? '',
    moves_done: done,
    moves_queued: queued,
    // At most: a limit, or the policies of the files, may leave some where they are.
    moves_remaining_max: remaining,
    eta_seconds_max: perSecond === 0 ? '' : Math.ceil(remaining / perSecond),
    message: [notes.waiting, ...waitingTexts(waiting)].filter((part) => part !== '').join('; '),
    ...waitingFields(waiting),
  };
}

async function isPaused({ store }: CommandServices): Promise<boolean> {
  return isTrue(await store.findSetting('omg_pause_rebalance'));
}

/** What all trackers move of late; 0 while they rest, or while all that is queued has to wait. */
export async function movesPerSecond(
  services: CommandServices,
  { queued, waiting }: Pick<MoveCounts, 'queued' | 'waiting'>,
): Promise<number> {
  const isStuck = queued > 0 && waiting.reduce((sum, { count }) => sum + count, 0) >= queued;
  if (isStuck || (await isPaused(services))) return 0;
  return (await services.store.rates.total()).get('rebalance') ?? 0;
}

/** Why moves wait, with a file of each kind and when the next is tried. */
export function waitingFields(
  waiting: readonly { reason: string; count: number; nexttry: number; fid: number }[],
): ReplyFields {
  const fields: ReplyFields = { waiting_count: waiting.length };
  for (const [index, { reason, count, nexttry, fid }] of waiting.entries()) {
    fields[`waiting_${index + 1}_reason`] = reason;
    fields[`waiting_${index + 1}_moves`] = count;
    fields[`waiting_${index + 1}_nexttry`] = nexttry;
    fields[`waiting_${index + 1}_fid`] = fid;
  }
  return fields;
}
