/**
 * Moves one replica away from a device (spec §5.2): copies it to where the policy of its class
 * wants it, verifies what is left on the devices themselves, and only then removes it (I2). A file
 * that would be worse off without the replica keeps it, with the reason.
 */
import type { PolicyAnswer } from '../../placement/contract.ts';
import { parsePolicy } from '../../placement/policy.ts';
import type { MoveReason, MoveRow } from '../../store/rebalance-store.ts';
import type { FileWithReplicas } from '../../store/store.ts';
import { copyTo } from '../replication/copy-replica.ts';
import { askAbout } from '../replication/question.ts';
import { isStillOurs } from '../replication/still-ours.ts';
import { removeReplica, verifiedReplicas } from '../replication/trim.ts';
import type { JobServices } from '../services.ts';

export type MoveOutcome =
  | { state: 'moved' | 'gone' | 'stopped' }
  | { state: 'kept'; reason: MoveReason; text: string };

export async function moveReplica(
  services: JobServices,
  { fid, devid, targets }: MoveRow,
  signals: readonly AbortSignal[],
): Promise<MoveOutcome> {
  const { store, topology, random } = services;
  const failed = new Set<number>();
  const made = new Set<number>();
  let fault = '';
  for (;;) {
    if (signals.some(({ aborted }) => aborted)) return { state: 'stopped' };
    const [current] = await store.filesByFid([fid]);
    if (!current?.devids.includes(devid)) return { state: 'gone' };
    // On a cluster of databases a read may not show yet what was just written.
    const file = { ...current, devids: [...new Set([...current.devids, ...made])] };
    if (!topology.isReadable(devid) || !topology.canDeleteFrom(devid)) {
      return kept('source_down', `dev${devid} cannot be read or deleted from now`);
    }
    const others = file.devids.filter((other) => other !== devid);
    const copiesMin = Math.min(file.devids.length - made.size, wantedCopies(services, file));
    if (isNoWorse(services, file, { devid, others, copiesMin })) {
      return removeSource(services, { file, devid, copiesMin, signals });
    }
    const answer = askAbout(services, file, { failed, holding: others, emptied: devid });
    const target = targetOf(answer, targets);
    if (target === undefined) {
      if (fault !== '') return kept('copy_error', fault);
      return explain(answer);
    }
    const readable = others.filter((other) => topology.isReadable(other) && !failed.has(other));
    const sources = failed.has(devid) ? readable : [devid, ...readable];
    const source = sources[Math.floor(random() * sources.length)];
    if (source === undefined) return kept('copy_error', fault);
    const outcome = await copyTo(services, { file, source, target, signals });
    if (outcome.state === 'copied') {
      made.add(target);
      continue;
    }
    const bad = outcome.state === 'source_failed' ? source : target;
    failed.add(bad);
    fault = `dev${bad}: ${outcome.reason}`;
  }
}

function kept(reason: MoveReason, text: string): MoveOutcome {
  return { state: 'kept', reason, text };
}

/** A desperate place is never good enough to give up a better one. */
function targetOf(answer: PolicyAnswer, targets: readonly number[]): number | undefined {
  if (answer.verdict !== 'short') return undefined;
  return answer.ideal.find((devid) => targets.length === 0 || targets.includes(devid));
}

function explain(answer: PolicyAnswer): MoveOutcome {
  if (answer.verdict === 'undecided') return kept('policy_no_suggestions', answer.reason);
  if (answer.verdict === 'short' && answer.ideal.length > 0) {
    return kept('no_target', 'none of the targets is one that the policy of its class would take');
  }
  const text = 'its class would be worse served: no device with room is on another host';
  return kept('would_worsen', text);
}

/**
 * Whether the file is as well off without the replica. Where its policy is not met with it either,
 * there must be as many copies on as many hosts as before.
 */
function isNoWorse(
  services: JobServices,
  file: FileWithReplicas,
  place: { devid: number; others: readonly number[]; copiesMin: number },
): boolean {
  const { devid, others, copiesMin } = place;
  if (others.length === 0) return false;
  const without = askAbout(services, file, { holding: others, emptied: devid });
  if (without.verdict === 'met' || without.verdict === 'over') return true;
  const { topology } = services;
  // Nothing is removed on a guess about a policy that this version cannot follow.
  if (!parsePolicy(topology.classOf(file.dmid, file.classid).replpolicy).known) return false;
  const before = askAbout(services, file, { emptied: devid });
  if (before.verdict === 'met' || before.verdict === 'over') return false;
  const hosts = (devids: readonly number[]) => {
    return new Set(devids.map((one) => topology.device(one)?.hostid)).size;
  };
  return others.length >= copiesMin && hosts(others) >= hosts(file.devids);
}

function wantedCopies({ topology }: JobServices, file: FileWithReplicas): number {
  return topology.classOf(file.dmid, file.classid).mindevcount;
}

async function removeSource(
  services: JobServices,
  request: {
    file: FileWithReplicas;
    devid: number;
    copiesMin: number;
    signals: readonly AbortSignal[];
  },
): Promise<MoveOutcome> {
  const { file, devid, copiesMin, signals } = request;
  const verified = await verifiedReplicas(services, file, signals);
  const others = verified.filter((other) => other !== devid);
  if (!isNoWorse(services, file, { devid, others, copiesMin })) {
    return kept('not_verified', 'too few of the other copies can be verified now');
  }
  if (!(await isStillOurs(signals))) return { state: 'stopped' };
  const obstacle = await removeReplica(services, { fid: file.fid, devid, kept: others });
  return obstacle === undefined ? { state: 'moved' } : kept('delete_failed', obstacle);
}
