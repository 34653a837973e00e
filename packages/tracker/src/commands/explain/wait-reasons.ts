/** Why rows of the queues wait, in words; what the jobs keep is shorter. */

import { type MoveCounts, type MoveReason, moveReasons } from '../../store/rebalance-store.ts';
import type { QueuedWork } from '../../store/store.ts';
import type { CommandServices } from '../services.ts';

/** Half a sentence about files that are to be moved. */
export const moveReasonTexts: Readonly<Record<MoveReason, string>> = {
  would_worsen: 'their class needs another host with room, or fewer copies',
  no_target: 'no device with room is one that the policy of their class would take',
  source_down: 'the device cannot be read or deleted from now',
  copy_error: 'the copy failed, see the log',
  not_verified: 'too few of their other copies can be verified now; a fsck replaces bad ones',
  delete_failed: 'the device does not delete',
  policy_no_suggestions:
    'the policy of their class has no place for them: no host with room is free',
  busy: 'another job works on them',
  error: 'something failed, see the log',
};

/** Why moves wait, one clause for each reason. */
export function waitingTexts(waiting: MoveCounts['waiting']): string[] {
  return waiting.map(({ reason, count }) => `${count} wait: ${moveReasonTexts[reason]}`);
}

export interface WaitReason {
  job: string;
  code: string;
  reason: string;
  count: number;
}

/** Of all queues, the most frequent first. */
export async function topWaitReasons(
  { store }: Pick<CommandServices, 'store'>,
  limit: number,
): Promise<WaitReason[]> {
  const [noted, checks, moves] = await Promise.all([
    store.notes.top(limit),
    store.fsck.waitReasons(limit),
    store.rebalance.counts(),
  ]);
  const all: WaitReason[] = [
    ...noted.map(({ job, code, reason, count }) => ({ job, code, reason, count })),
    ...checks.map((one) => ({ job: 'fsck', code: 'stalled', ...one })),
    ...moves.waiting.map(({ reason: code, count }) => {
      return { job: 'rebalance', code, reason: moveReasonTexts[code], count };
    }),
  ];
  return all.toSorted((a, b) => b.count - a.count).slice(0, limit);
}

/** Why a check or a move waits, where that is known. */
export function queuedReason({ arg, flags, devid }: QueuedWork, isMove: boolean) {
  if (!isMove) return devid === null ? undefined : (arg ?? undefined);
  const reason = Object.entries(moveReasons).find(([, number]) => number === flags)?.[0];
  return reason === undefined ? undefined : moveReasonTexts[reason as MoveReason];
}
