/** The job that works off the queued moves, on every tracker (spec §3.6, §5.2). */

import { parseDrains } from '../../placement/rebalance/own.ts';
import { fidLock } from '../../store/fid-lock.ts';
import { type ClaimedMove, type MoveReason, rebalanceField } from '../../store/rebalance-store.ts';
import { Job } from '../job.ts';
import { replicationDelaySeconds } from '../replication/backoff.ts';
import { noteLeftCopies } from '../replication/left-copies.ts';
import type { JobServices } from '../services.ts';
import { moveReplica } from './move.ts';

export interface MovesOptions {
  concurrency: number;
  idleMs: number;
  /** How long a claim lasts when its tracker dies. */
  claimSeconds: number;
  /** Seconds until the next try after so many failures. */
  delaySeconds?: ((failcount: number) => number) | undefined;
}

/** A move that failed so often is given up, unless its source is to be emptied. */
const attemptsMax = 5;
const busyDelaySeconds = 15;

export function createMovesJob(services: JobServices, options: MovesOptions): Job<ClaimedMove> {
  const { store, topology, log, random } = services;
  const { claimSeconds } = options;
  const delaySeconds =
    options.delaySeconds ?? ((failcount) => replicationDelaySeconds(failcount, random));

  const isDrained = (devid: number): boolean => {
    const drains = parseDrains(topology.setting(rebalanceField.drains));
    return drains.some((drain) => drain.devid === devid);
  };

  /** Given up, it waits no longer, but has not moved either. */
  async function keep(move: ClaimedMove, reason: MoveReason, text: string): Promise<number> {
    const { fid, devid, failcount } = move;
    if (failcount + 1 >= attemptsMax && !isDrained(devid)) {
      log.warn({ fid, devid, reason, text }, 'move.given-up');
      // Should an attempt have left a copy too many, the replicator trims it.
      await store.enqueueReplication({ fid, nexttry: 0 });
      await store.rebalance.finish(move);
      return 1;
    }
    const wait = { delaySeconds: delaySeconds(failcount), failcount: failcount + 1, reason };
    log.info({ fid, devid, reason, text, delaySeconds: wait.delaySeconds }, 'move.postponed');
    await store.rebalance.putOff(move, wait);
    return 1;
  }

  async function work(move: ClaimedMove, stopping: AbortSignal): Promise<number> {
    const { fid, devid } = move;
    // What is emptied may go anywhere, also where there was no device yet when it was queued.
    const targets = isDrained(devid) ? [] : move.targets;
    const outcome = await store.withLock(fidLock(fid), async (lost) => {
      const moved = await moveReplica(services, { fid, devid, targets }, [lost, stopping]);
      if (move.brokeOff && moved.state !== 'stopped') await noteLeftCopies(services, fid);
      // Another tracker may have moved it meanwhile: what both did can be one copy too many.
      if (lost.aborted) await store.enqueueReplication({ fid, nexttry: 0 });
      return moved;
    });
    if (outcome === undefined || outcome.state === 'stopped') {
      const { failcount, brokeOff } = move;
      const wait = outcome === undefined ? busyDelaySeconds : 0;
      const reason = brokeOff ? 'error' : 'busy';
      await store.rebalance.putOff(move, { delaySeconds: wait, failcount, reason });
      return 1;
    }
    if (outcome.state === 'kept') return keep(move, outcome.reason, outcome.text);
    if (outcome.state === 'moved') log.info({ fid, devid }, 'move.done');
    await store.rebalance.finish(move);
    return 0;
  }

  return new Job<ClaimedMove>({
    name: 'rebalance',
    log,
    concurrency: options.concurrency,
    idleMs: options.idleMs,
    claimSeconds,
    claim: (limit) => store.rebalance.claim({ limit, seconds: claimSeconds }),
    renew: (moves) => store.rebalance.renew(moves, claimSeconds),
    putOff: async (move) => {
      await keep(move, 'error', 'see the log');
    },
    work,
  });
}
