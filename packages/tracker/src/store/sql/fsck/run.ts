/** Starting, stopping, driving and ending a run of fsck (spec §2.5, §5.5, §11.1 no. 9). */
import { randomUUID } from 'node:crypto';
import { isTrue, OmgfsError } from '@omgfs/protocol';
import type { FsckLimits, FsckState, FsckStore } from '../../fsck-store.ts';
import type { Dialect, Engine, Session } from '../engine.ts';
import { intOrNull, text } from '../row.ts';
import { fixCounts } from './findings.ts';
import { paceOf, paceText } from './pace.ts';
import { enqueueWaits } from './queue.ts';
import {
  countPrefix,
  currentSettings,
  field,
  leaseOf,
  leaseText,
  limitsOf,
  limitsText,
  readSettings,
  type Settings,
  writeSettings,
} from './settings.ts';

/** A tracker that does not renew its lease for so long has lost the run. */
const leaseSeconds = 6;

export async function fsckState(engine: Engine): Promise<FsckState> {
  const settings = await currentSettings(engine);
  const host = settings.text(field.host);
  return {
    host: isTrue(host) ? host : undefined,
    policyOnly: isTrue(settings.text(field.policyOnly)),
    limits: limitsOf(settings),
    position: settings.number(field.position),
    end: settings.number(field.end),
    startFid: settings.number(field.startFid),
    checked: settings.number(field.checked),
    startTime: settings.number(field.startTime),
    pace: paceOf(settings.text(field.pace), runOf(settings)),
    stopTime: settings.number(field.stopTime),
    now: settings.now,
    checksums: settings.text(field.checksums),
    skipDevcount: isTrue(settings.text(field.skipDevcount)),
    ratePerSecondMax: settings.number(field.rate) || undefined,
    queueMax: settings.number(field.queueMax) || undefined,
  };
}

export function startFsck(engine: Engine, host: string): Promise<void> {
  const { dialect } = engine;
  const owner = `start:${randomUUID()}`;
  return engine.transaction(
    async (session) => {
      const settings = await readSettings(session, dialect, { lock: true });
      if (isTrue(settings.text(field.host))) throw new OmgfsError('FSCK_RUNNING');
      if (isTrue(settings.text(field.rebalanceHost))) throw new OmgfsError('REBAL_RUNNING');
      const position = settings.number(field.position);
      const end = settings.number(field.end);
      // A run that is over begins anew, but behind the files it has seen: a quirk, and kept.
      if (position >= end && (end > 0 || position === 0)) {
        await beginRun(session, dialect, limitsOf(settings));
      }
      await writeSettings(session, dialect, {
        [field.startTime]: settings.now,
        [field.stopTime]: undefined,
        [field.checked]: 0,
        [field.pace]: undefined,
        [field.startFid]: position,
        [field.lease]: leaseText({ expires: 0, owner, host }),
        [field.host]: host,
      });
    },
    async (session) => {
      return leaseOf(await readSettings(session, dialect, { lock: true }))?.owner === owner;
    },
  );
}

export function stopFsck(engine: Engine): Promise<void> {
  const { dialect } = engine;
  return engine.transaction(async (session) => {
    const { now } = await readSettings(session, dialect, { lock: true });
    await writeSettings(session, dialect, { [field.host]: undefined, [field.stopTime]: now });
  });
}

export function resetFsck(
  engine: Engine,
  request: { policyOnly: boolean; position: number; limits: FsckLimits },
): Promise<void> {
  const { dialect } = engine;
  return engine.transaction(async (session) => {
    const held = leaseOf(await readSettings(session, dialect, { lock: true }));
    await writeSettings(session, dialect, {
      // Whoever drives a run takes it anew: what it has read was asked for by the run before.
      ...(held && { [field.lease]: leaseText({ ...held, owner: 'reset', expires: 0 }) }),
      [field.policyOnly]: request.policyOnly ? 1 : undefined,
      [field.position]: request.position,
      [field.startFid]: request.position,
    });
    await beginRun(session, dialect, request.limits);
  });
}

/** Notes where a run will end and forgets what the last one found. */
async function beginRun(session: Session, dialect: Dialect, limits: FsckLimits): Promise<void> {
  // Primary keys.
  const [file] = await session.rows('SELECT MAX(fid) AS top FROM file');
  const [log] = await session.rows('SELECT MAX(logid) AS top FROM fsck_log');
  const end = (file && intOrNull(file, 'top')) ?? 0;
  const logidStart = (log && intOrNull(log, 'top')) ?? 0;
  const name = dialect.bytes('field');
  const rows = await session.rows(`SELECT ${name} AS field FROM server_settings`);
  const counters = rows
    .map((row) => text(row, 'field'))
    .filter((one) => one.startsWith(countPrefix));
  await writeSettings(session, dialect, {
    [field.startTime]: undefined,
    [field.stopTime]: undefined,
    [field.checked]: 0,
    [field.end]: end,
    [field.logidStart]: logidStart,
    [field.logidFolded]: logidStart,
    [field.limits]: limitsText(limits, { end, logidStart }),
    ...Object.fromEntries(counters.map((one) => [one, undefined])),
  });
}

export function leaseFsck(
  engine: Engine,
  request: Parameters<FsckStore['lease']>[0],
): Promise<boolean> {
  const { dialect } = engine;
  const { owner, host, abandoned } = request;
  return engine.transaction(async (session) => {
    const settings = await readSettings(session, dialect, { lock: true });
    const runHost = settings.text(field.host);
    if (runHost === undefined || !isTrue(runHost)) return false;
    const held = leaseOf(settings);
    const isHeldByOther = held !== undefined && held.owner !== owner;
    if (isHeldByOther && held.expires > settings.now) return false;
    if (held?.host !== runHost && runHost !== host && !abandoned) return false;
    await writeSettings(session, dialect, {
      [field.lease]: leaseText({ expires: settings.now + leaseSeconds, owner, host }),
      ...(runHost === host ? {} : { [field.host]: host }),
    });
    return true;
  });
}

export function releaseFsck(engine: Engine, owner: string): Promise<void> {
  const { dialect } = engine;
  return engine.transaction(async (session) => {
    const held = leaseOf(await readSettings(session, dialect, { lock: true }));
    if (held === undefined || held.owner !== owner) return;
    await writeSettings(session, dialect, { [field.lease]: leaseText({ ...held, expires: 0 }) });
  });
}

/**
 * Whether the run is still driven by `owner` and where it left it. A run that was stopped may move
 * once more: the work was done.
 */
function isOurs(settings: Settings, { owner, from }: { owner: string; from: number }): boolean {
  const held = leaseOf(settings);
  if (held === undefined || held.owner !== owner) return false;
  const host = settings.text(field.host);
  return (!isTrue(host) || host === held.host) && settings.number(field.position) === from;
}

export function advanceFsck(
  engine: Engine,
  request: Parameters<FsckStore['advance']>[0],
): Promise<boolean> {
  const { dialect } = engine;
  return engine.transaction(async (session) => {
    const settings = await readSettings(session, dialect, { lock: true });
    const held = leaseOf(settings);
    if (held === undefined || !isOurs(settings, request)) return false;
    await fixCounts(engine, session, request.miscounted);
    await enqueueWaits(session, dialect, request.waits);
    const expires = settings.now + leaseSeconds;
    const checked = settings.number(field.checked) + request.checked;
    await writeSettings(session, dialect, {
      [field.position]: request.to,
      [field.checked]: checked,
      [field.pace]: paceText(settings.text(field.pace), runOf(settings), { ...request, checked }),
      [field.lease]: leaseText({ ...held, expires }),
    });
    return true;
  });
}

function runOf(settings: Settings): { started: number; startFid: number; now: number } {
  const started = settings.number(field.startTime);
  return { started, startFid: settings.number(field.startFid), now: settings.now };
}

export function finishFsck(
  engine: Engine,
  request: Parameters<FsckStore['finish']>[0],
): Promise<void> {
  const { dialect } = engine;
  return engine.transaction(async (session) => {
    const settings = await readSettings(session, dialect, { lock: true });
    if (!isOurs(settings, request) || !isTrue(settings.text(field.host))) return;
    await writeSettings(session, dialect, {
      [field.host]: undefined,
      [field.lease]: undefined,
      [field.stopTime]: settings.now,
      // The last fids may belong to files that are gone; the run is complete all the same.
      [field.position]: Math.max(request.from, settings.number(field.end)),
    });
  });
}
