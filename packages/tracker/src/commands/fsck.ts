/**
 * `fsck_start`, `fsck_stop`, `fsck_reset`, `fsck_clearlog`, `fsck_getlog`, `fsck_status` (spec
 * §2.5). A reset may limit the run to a domain, a class of it or a prefix of its keys, by arguments
 * that old clients never send.
 */
import { type Fields, isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { FsckLimits, FsckState } from '../store/fsck-store.ts';
import type { Topology } from '../topology/topology.ts';
import { checkKeyLength, domainOf, integerOf } from './arguments.ts';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';

/** Rows in one `fsck_getlog` answer. */
const logRowsMax = 100;
/** Due checks are counted up to here. */
const dueMax = 100_000;

export function fsckCommands(services: CommandServices): Record<string, Command> {
  const { store, topology, hostname, wakeFsck } = services;
  const { fsck } = store;
  return {
    fsck_start: async () => {
      await fsck.start(hostname);
      wakeFsck();
      return {};
    },
    fsck_stop: async () => {
      await fsck.stop();
      wakeFsck();
      return {};
    },
    fsck_reset: async ({ args }) => {
      const position = positionOf(args.startpos);
      const limits = limitsOf(topology, args);
      await fsck.reset({ policyOnly: isTrue(args.policy_only), position, limits });
      return {};
    },
    fsck_clearlog: async () => {
      await fsck.clearLog();
      return {};
    },
    fsck_getlog: async ({ args }) => {
      const after = Math.max(0, integerOf(args.after_logid));
      const rows = await fsck.log({ after, limit: logRowsMax });
      const fields: ReplyFields = { row_count: rows.length };
      for (const [index, row] of rows.entries()) {
        for (const [name, value] of Object.entries(row)) {
          if (value !== null) fields[`row_${index + 1}_${name}`] = value;
        }
      }
      return fields;
    },
    fsck_status: () => status(services),
  };
}

async function status({ store, topology }: CommandServices): Promise<ReplyFields> {
  const state = await store.fsck.state();
  const { due, inWork, waiting } = await store.fsck.queue({ dueMax });
  // Last, so that when nothing is left to do, all that was found is counted.
  const { byCode, logidMax } = await store.fsck.counts();
  const fields: ReplyFields = {
    running: state.host === undefined ? 0 : 1,
    host: state.host ?? '',
    max_fid_checked: state.position,
    policy_only: state.policyOnly ? 1 : 0,
    // A run may be told to begin behind its end; nobody should see more than all of it.
    end_fid: Math.max(state.end, state.position),
    start_time: state.startTime,
    stop_time: state.stopTime,
    current_time: state.now,
    max_logid: logidMax,
  };
  for (const [code, count] of byCode) fields[`num_${code}`] = count;
  // What the original does not say, once there is something to say.
  const isPaused = isTrue(await store.findSetting('omg_pause_fsck'));
  if (isPaused) fields.paused = 1;
  if (state.startTime > 0) Object.assign(fields, progressOf(state, isPaused));
  Object.assign(fields, limitFields(topology, state.limits));
  if (due + inWork > 0) fields.queued = due + inWork;
  if (waiting > 0) fields.waiting = waiting;
  return fields;
}

/**
 * Files looked at since the start, at what rate, and how long the rest takes. While it runs these
 * are figures of the last half minute of running, when it is over those of the whole run.
 */
function progressOf(state: FsckState, isPaused: boolean): ReplyFields {
  const { position, end, checked } = state;
  const { filesPerSecond, filesPerSecondNow, fidsPerSecondNow } = state.pace ?? clockPace(state);
  const isMoving = state.host !== undefined && !isPaused;
  const rate = state.host === undefined ? filesPerSecond : isMoving ? filesPerSecondNow : 0;
  const fields: ReplyFields = { checked, rate: rate.toFixed(1) };
  if (isMoving && fidsPerSecondNow > 0) {
    fields.eta_seconds = Math.max(0, Math.ceil((end - position) / fidsPerSecondNow));
  }
  return fields;
}

/** What the clock says, for the run of a tracker of the original. */
function clockPace({ position, startFid, checked, startTime, stopTime, ...run }: FsckState) {
  const seconds = Math.max(1, (run.host === undefined ? stopTime : run.now) - startTime);
  const filesPerSecond = checked / seconds;
  const fidsPerSecondNow = Math.max(0, position - startFid) / seconds;
  return { filesPerSecond, filesPerSecondNow: filesPerSecond, fidsPerSecondNow };
}

function limitFields(topology: Topology, { dmid, classid, prefix }: FsckLimits): ReplyFields {
  if (dmid === undefined) return {};
  const domain = topology.domainById(dmid)?.name ?? String(dmid);
  return {
    limit_domain: domain,
    ...(classid === undefined ? {} : { limit_class: topology.classOf(dmid, classid).name }),
    ...(prefix === undefined ? {} : { limit_prefix: prefix }),
  };
}

/** @throws BAD_PARAMS: a mistyped position would silently check nothing, or all of it. */
function positionOf(text: string | undefined): number {
  if (text === undefined || text === '') return 0;
  const position = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (Number.isSafeInteger(position)) return position;
  throw new OmgfsError('BAD_PARAMS', { message: `startpos ${text} is not a fid.` });
}

/** @throws NO_DOMAIN, UNREG_DOMAIN, UNREG_CLASS, KEY_TOO_LONG. */
function limitsOf(topology: Topology, args: Fields): FsckLimits {
  const { class: className = '', prefix = '' } = args;
  if (!args.domain && className === '' && prefix === '') return {};
  const { dmid, classes } = domainOf(topology, args);
  const classid = classes.get(className)?.classid;
  if (className !== '' && classid === undefined) throw new OmgfsError('UNREG_CLASS');
  return {
    dmid,
    ...(classid === undefined ? {} : { classid }),
    ...(prefix === '' ? {} : { prefix: checkKeyLength(prefix) }),
  };
}
