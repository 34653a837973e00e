/**
 * Gives files the replicas their class wants (spec §5.2): copies while the policy says short, trims
 * while it says over, and otherwise puts the file off with a reason. It works under the lock of the
 * fid, looks at the database and the policy again before each step, and counts a copy only once
 * the target itself has shown it.
 */

import { fidLock } from '../../store/fid-lock.ts';
import type { ClaimedReplication, FileWithReplicas, ReplicationRow } from '../../store/store.ts';
import { Job } from '../job.ts';
import type { Notes } from '../notes.ts';
import type { JobServices } from '../services.ts';
import { replicationDelaySeconds } from './backoff.ts';
import { copyTo } from './copy-replica.ts';
import { noteLeftCopies } from './left-copies.ts';
import { askAbout } from './question.ts';
import { trim } from './trim.ts';

export interface ReplicateOptions {
  concurrency: number;
  idleMs: number;
  notes: Notes;
  /** How long a claim lasts when its tracker dies. */
  claimSeconds: number;
  /** Reads the topology again; resolves with a reading that began after the call. */
  reloadTopology: () => Promise<void>;
  /** Seconds until the next try after so many failures; by default those of spec §5.2. */
  delaySeconds?: ((failcount: number) => number) | undefined;
}

/** What became of a file; `parked` waits until somebody enqueues it again. */
type Outcome =
  | { state: 'settled' }
  | { state: 'stopped' }
  | { state: 'postponed' | 'parked'; code: ReasonCode; reason: string };

/** The words of the original, which operators grep for. */
type ReasonCode =
  | 'no_source'
  | 'source_down'
  | 'policy_no_suggestions'
  | 'too_happy'
  | 'copy_error';

const busyDelaySeconds = 5;

export function createReplicateJob(
  services: JobServices,
  options: ReplicateOptions,
): Job<ClaimedReplication> {
  const { store, log, random } = services;
  const { claimSeconds, reloadTopology } = options;
  // Once for all: V8 takes long to copy as many properties, and longer to read such copies.
  const parts = { ...services, reloadTopology };
  const delaySeconds =
    options.delaySeconds ?? ((failcount) => replicationDelaySeconds(failcount, random));

  /** @returns how many rows wait. */
  async function settle(row: ClaimedReplication, outcome: Outcome): Promise<number> {
    const { fid, failcount, brokeOff } = row;
    if (outcome.state === 'settled') {
      options.notes.settled('replicate', row);
      await store.finishReplication(row);
      return 0;
    }
    if (outcome.state === 'stopped') {
      await store.postponeReplication(row, { delaySeconds: 0, failcount, brokeOff });
      return 1;
    }
    const { code, reason } = outcome;
    const waitSeconds = outcome.state === 'parked' ? undefined : delaySeconds(failcount);
    log.warn({ fid, code, reason, failcount, waitSeconds }, `replication.${outcome.state}`);
    options.notes.failed('replicate', fid, { code, reason });
    await store.postponeReplication(row, { delaySeconds: waitSeconds, failcount: failcount + 1 });
    return 1;
  }

  return new Job<ClaimedReplication>({
    name: 'replicate',
    log,
    concurrency: options.concurrency,
    idleMs: options.idleMs,
    claimSeconds,
    claim: (limit) => store.claimReplications(limit, claimSeconds),
    renew: (rows) => store.renewReplications(rows, claimSeconds),
    putOff: (row) => {
      const { failcount } = row;
      const wait = { delaySeconds: delaySeconds(failcount), failcount: failcount + 1 };
      return store.postponeReplication(row, { ...wait, brokeOff: true });
    },
    work: async (row, stopping) => {
      const { fid, failcount, brokeOff } = row;
      const worked = await store.withLock(fidLock(fid), async (lost) => {
        const signals = [lost, stopping];
        const outcome = await replicate(parts, row, signals);
        if (brokeOff && outcome.state !== 'stopped') await noteLeftCopies(services, fid);
        const waiting = await settle(row, outcome);
        // Another tracker may have worked on it meanwhile: what both did can be one copy too many.
        if (lost.aborted) await store.enqueueReplication({ fid, nexttry: 0 });
        return waiting;
      });
      if (worked !== undefined) return worked;
      // The original leaves the row to the lease of its claim, about a quarter of an hour.
      const wait = { delaySeconds: busyDelaySeconds, failcount, brokeOff };
      await store.postponeReplication(row, wait);
      return 1;
    },
  });
}

/** Works on one file until its policy is met or nothing can be done now. */
async function replicate(
  services: JobServices & Pick<ReplicateOptions, 'reloadTopology'>,
  { fid, fromdevid }: ReplicationRow,
  signals: readonly AbortSignal[],
): Promise<Outcome> {
  const { store } = services;
  const failedTargets = new Set<number>();
  const failedSources = new Set<number>();
  const made = new Set<number>();
  let fault = '';
  for (;;) {
    if (signals.some(({ aborted }) => aborted)) return { state: 'stopped' };
    const [current] = await store.filesByFid([fid]);
    if (current === undefined) return { state: 'settled' };
    // On a cluster of databases a read may not show yet what was just written.
    const file =
      made.size === 0
        ? current
        : { ...current, devids: [...new Set([...current.devids, ...made])] };
    if (file.devids.length === 0) {
      const reason = 'no device is known to hold the file; fsck has to search for it';
      return { state: 'parked', code: 'no_source', reason };
    }
    // A class that nobody knows would ask for what the default class does.
    if (!services.topology.knowsClass(file)) await services.reloadTopology();
    const answer = askAbout(services, file, { failed: failedTargets });
    if (answer.verdict === 'met') return { state: 'settled' };
    if (answer.verdict === 'over') {
      const trimmed = await trim(services, file, signals);
      if ('obstacle' in trimmed) {
        return { state: 'postponed', code: 'too_happy', reason: trimmed.obstacle };
      }
      // It may be one of those made here, and must not count for ever.
      made.delete(trimmed.removed);
      continue;
    }
    const target = answer.verdict === 'short' ? chooseTarget(services, file, answer) : undefined;
    if (target === undefined) {
      // After a failed copy, why that failed says more than that no other device is left.
      if (fault !== '') return { state: 'postponed', code: 'copy_error', reason: fault };
      const reason = answer.verdict === 'undecided' ? answer.reason : 'no device has room';
      return { state: 'postponed', code: 'policy_no_suggestions', reason };
    }
    const source = chooseSource(services, file, { failed: failedSources, hint: fromdevid });
    if (source === undefined) {
      const reason = fault || 'no device that holds the file can be read now';
      return { state: 'postponed', code: 'source_down', reason };
    }
    const outcome = await copyTo(services, { file, source, target, signals });
    if (outcome.state === 'copied') {
      made.add(target);
      const holding = [...file.devids, target];
      // Whatever else has changed since the file was read has queued it again.
      const isMet = askAbout(services, file, { holding }).verdict === 'met';
      if (outcome.isCurrent && isMet) return { state: 'settled' };
      continue;
    }
    const bad = outcome.state === 'source_failed' ? source : target;
    fault = `dev${bad}: ${outcome.reason}`;
    (outcome.state === 'source_failed' ? failedSources : failedTargets).add(bad);
  }
}

/** The first of the best devices that has room for a copy now, else one to wait for. */
function chooseTarget(
  { slots }: JobServices,
  { length }: FileWithReplicas,
  { ideal, desperate }: { ideal: readonly number[]; desperate: readonly number[] },
): number | undefined {
  const wanted = ideal.length > 0 ? ideal : desperate;
  return wanted.find((devid) => slots.hasRoom(devid, length)) ?? wanted[0];
}

/** The device hinted at if it will do, else any that can be read. */
function chooseSource(
  { topology, random }: JobServices,
  file: FileWithReplicas,
  { failed, hint }: { failed: ReadonlySet<number>; hint: number | null },
): number | undefined {
  const usable = file.devids.filter((devid) => topology.isReadable(devid) && !failed.has(devid));
  if (hint !== null && usable.includes(hint)) return hint;
  const near = topology.nearOnly(usable, undefined);
  const pool = near.length > 0 ? near : usable;
  return pool[Math.floor(random() * pool.length)];
}
