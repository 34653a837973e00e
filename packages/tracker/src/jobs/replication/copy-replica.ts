/** Makes one more replica of a file, from one device to another (spec §9.4). */
import type { FileWithReplicas } from '../../store/store.ts';
import type { JobServices } from '../services.ts';
import { noteStrays } from './left-copies.ts';
import { findReplicaFault } from './verify.ts';

export type CopyResult =
  /** `isCurrent`: the file was still there when the replica was recorded. */
  | { state: 'copied'; isCurrent: boolean }
  | { state: 'source_failed' | 'target_failed'; reason: string };

/**
 * Copies, asks the target for what it has, and only then records the replica. The database queues
 * the replica for deletion instead when the file was deleted meanwhile.
 */
export async function copyTo(
  { store, topology, devices, log, slots }: JobServices,
  request: {
    file: FileWithReplicas;
    source: number;
    target: number;
    signals: readonly AbortSignal[];
  },
): Promise<CopyResult> {
  const { source, target, signals } = request;
  const { fid, length, dmid, classid } = request.file;
  const from = topology.readUrl({ devid: source, fid });
  const to = topology.writeUrl({ devid: target, fid });
  if (from === undefined) return { state: 'source_failed', reason: 'its host is unknown' };
  if (to === undefined) return { state: 'target_failed', reason: 'its host is unknown' };
  const expected = await store.findChecksum(fid);
  const hashtype = topology.classOf(dmid, classid).hashtype ?? undefined;
  await devices.makeDirectories(to);
  const outcome = await slots.run({ devids: [source, target], bytes: length, signals }, () =>
    devices.copy({ from, to, length, expected, hashtype, signals }),
  );
  if (outcome.state === 'target_failed' && outcome.mayFinish) {
    // Should it come into its place after all, nobody else would know of it.
    await noteStrays({ store, log }, [{ fid, devid: target }]);
  }
  if (outcome.state !== 'copied') return outcome;
  // A node that refuses a wrong Content-MD5 has checked the bytes already, if it was sent one; the
  // original forgets the second half of that (spec §11.1 no. 12).
  const { rejectBadMd5 } = topology.observedDevice(target);
  const checkedByNode = expected?.type === 'MD5' && rejectBadMd5 === true;
  const checksum = checkedByNode ? undefined : outcome.checksum;
  const isShown = checksum === undefined && outcome.shownBytes === length;
  const fault = isShown
    ? undefined
    : await findReplicaFault(devices, { url: to, length, checksum });
  if (fault !== undefined) {
    await noteStrays({ store, log }, [{ fid, devid: target }]);
    return { state: 'target_failed', reason: `after the copy: ${fault}` };
  }
  const isCurrent = await store.addReplica({ fid, devid: target });
  if (isCurrent && expected === undefined && outcome.checksum !== undefined) {
    await store.saveChecksum({ fid, checksum: outcome.checksum });
  }
  log.info({ fid, source, target, bytes: length, isCurrent }, 'replica.written');
  return { state: 'copied', isCurrent };
}
