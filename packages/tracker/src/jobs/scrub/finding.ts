/**
 * One finding of the scrub of a storage node, handled as fsck does: looked at again under the lock
 * that everything shares that adds or removes replicas. The row of the bad replica goes only when
 * another replica has just been verified (I2); its bytes stay where the node put them.
 */
import { type Checksum, type Finding, parseFidPath } from '@omgfs/protocol';
import { underAny } from '../../devices/any-signal.ts';
import { fidLock } from '../../store/fid-lock.ts';
import type { FsckFile } from '../../store/fsck-store.ts';
import type { Reach } from '../fsck/reach.ts';
import type { Notes } from '../notes.ts';
import { findReplicaFault } from '../replication/verify.ts';
import type { JobServices } from '../services.ts';

export interface FindingParts {
  services: JobServices;
  reach: Reach;
  notes: Notes;
}

/** Other work and faults of the database pass, a device may come back, a good copy rarely does. */
export const restMs = { passing: 15_000, away: 60_000, lastCopy: 600_000 } as const;

export type Rest = keyof typeof restMs;

/**
 * `settled`: nobody needs to see to it any more; `waits`: why it could not be seen to now, and what
 * it waits for.
 */
export type FindingVerdict =
  | { state: 'settled'; outcome: string; repaired: boolean }
  | { state: 'waits'; reason: string; rest: Rest };

interface Suspect {
  file: FsckFile;
  devid: number;
  finding: Finding;
  /** What the bytes must be, where that is known. */
  expected: Checksum | undefined;
  signal: AbortSignal;
}

export async function handleFinding(
  parts: FindingParts,
  { devid, finding, signal }: { devid: number; finding: Finding; signal: AbortSignal },
): Promise<FindingVerdict> {
  const { store } = parts.services;
  const fid = parseFidPath(`/dev${devid}/${finding.name}`)?.fid;
  if (fid === undefined) return settled('it is no file of the trackers');
  const verdict = await store.withLock(fidLock(fid), async (lost) => {
    const [file] = await store.fsck.files([fid]);
    if (file === undefined) return settled('the file is deleted');
    if (!file.devids.includes(devid)) return settled('no replica is expected there any more');
    const expected = await store.findChecksum(fid);
    return underAny([lost, signal], (either) =>
      judge(parts, { file, devid, finding, expected, signal: either }),
    );
  });
  const reason = 'another job works on the file';
  return verdict ?? { state: 'waits', reason, rest: 'passing' };
}

async function judge(parts: FindingParts, suspect: Suspect): Promise<FindingVerdict> {
  const { services, notes } = parts;
  const { file, devid, finding, signal } = suspect;
  const { fid } = file;
  const look = await lookAgain(parts, suspect);
  if (look.state === 'good') return settled('it is in order now');
  if (look.state === 'unsure') {
    return { state: 'waits', reason: look.reason, rest: 'away' };
  }
  const others = await findVerified(parts, suspect);
  if (signal.aborted) {
    return { state: 'waits', reason: 'the work was stopped', rest: 'passing' };
  }
  const { name, kind, quarantine, reason } = finding;
  if (others.verified === undefined) {
    const why = `no other copy can be verified: ${others.reason}`;
    const rest = others.isPassing ? 'away' : 'lastCopy';
    const delaySeconds = restMs[rest] / 1000;
    const facts = { fid, devid, kind, quarantine, reason: why, delaySeconds };
    services.log.error(facts, 'scrub.last_copy');
    notes.failed('scrub', fid, { code: 'last_copy', reason: `${described(suspect)}; ${why}` });
    return { state: 'waits', reason: why, rest };
  }
  await services.store.fsck.amend({
    ...{ fid, events: [{ code: 'MISS', devid }, { code: 'REPL' }], forget: [devid] },
    ...{ replicate: true, recount: true },
  });
  const facts = { fid, devid, name, kind, quarantine, reason, verified: others.verified };
  services.log.warn(facts, 'scrub.repaired');
  notes.failed('scrub', fid, { code: kind, reason: described(suspect) });
  return { ...settled('its row was removed and the file queued for replication'), repaired: true };
}

/** Half a sentence for `explain`. */
function described({ devid, finding }: Suspect): string {
  const { kind, quarantine } = finding;
  if (quarantine === undefined) return `its copy on dev${devid} is ${kind.slice(0, 20)}`;
  return `its copy on dev${devid} rotted and lies in ${quarantine.slice(0, 120)} there`;
}

type Look = { state: 'good' } | { state: 'bad' } | { state: 'unsure'; reason: string };

async function lookAgain(
  { services, reach }: FindingParts,
  { file, devid, finding, expected, signal }: Suspect,
): Promise<Look> {
  const look = await reach.lookClosely(file, devid);
  if (look.state === 'unsure') return look;
  if (look.state !== 'good') return { state: 'bad' };
  // One that was quarantined is there again: it was copied anew since.
  if (finding.kind !== 'unreadable') return look;
  const url = services.topology.readUrl({ devid, fid: file.fid });
  if (url === undefined) return { state: 'unsure', reason: 'its host is unknown' };
  const type = expected?.type ?? 'MD5';
  const use = { devids: [devid], bytes: file.length, signals: [signal] };
  const digest = await services.slots.run(use, () =>
    services.devices.digest(url, type, { signal, background: true }),
  );
  // No answer says nothing about the file (I6): its node may be busy, or away for a moment.
  if (digest.state === 'unreachable') return { state: 'unsure', reason: digest.reason };
  const isGood =
    digest.state === 'present' &&
    digest.bytes === file.length &&
    (expected === undefined || digest.hex === expected.hex);
  if (isGood) return { state: 'good' };
  return (await reach.findDoubt(devid)) ?? { state: 'bad' };
}

/** Reads other replicas until one is right. `isPassing`: one of them could not be asked now. */
async function findVerified(
  { services, reach }: FindingParts,
  { file, devid, expected, signal }: Suspect,
): Promise<{ verified: number } | { verified: undefined; reason: string; isPassing: boolean }> {
  const { topology, devices, slots } = services;
  let reason = 'there is none';
  let isPassing = false;
  for (const other of file.devids.filter((one) => one !== devid)) {
    const url = topology.readUrl({ devid: other, fid: file.fid });
    if (url === undefined || !topology.isReadable(other)) {
      reason = `dev${other} cannot be read`;
      isPassing = true;
      continue;
    }
    const replica = { url, length: file.length, checksum: expected, signal };
    const bytes = expected === undefined ? 0 : file.length;
    const use = { devids: [other], bytes, signals: [signal] };
    const fault = await slots.run(use, () => findReplicaFault(devices, replica));
    if (fault === undefined) return { verified: other };
    reason = `dev${other}: ${fault}`;
    isPassing ||= (await reach.findDoubt(other)) !== undefined;
  }
  return { verified: undefined, reason, isPassing };
}

function settled(outcome: string): FindingVerdict & { state: 'settled' } {
  return { state: 'settled', outcome, repaired: false };
}
