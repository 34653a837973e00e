/** Compares the bytes of replicas with each other and with the stored checksum (spec §5.5). */
import { type Checksum, type HashType, hashTypes } from '@omgfs/protocol';
import { underAny } from '../../devices/any-signal.ts';
import type { FsckCode, FsckFile } from '../../store/fsck-store.ts';
import type { JobServices } from '../services.ts';
import type { FsckMode } from './inspect.ts';
import type { Reach } from './reach.ts';

export interface ChecksumFindings {
  codes: FsckCode[];
  /** Replicas that differ from the stored checksum, while others equal it. */
  corrupt: number[];
  /** To be stored, because there is none yet. */
  checksum?: Checksum;
  /** Replicas of which their nodes say that they cannot be read, while others are right. */
  unreadable: number[];
  /** Replicas that could not be read to their end, for what may be another reason. */
  unread: { devid: number; reason: string }[];
}

/**
 * Reads replicas of the right length. They are compared by the algorithm of the stored checksum, so
 * that a class that changed its mind, or another one that is asked for, does not make good files
 * look bad.
 */
export async function compareChecksums(
  parts: { services: JobServices; reach: Reach },
  request: {
    file: FsckFile;
    devids: readonly number[];
    mode: FsckMode;
    signals: readonly AbortSignal[];
  },
): Promise<ChecksumFindings> {
  const { services } = parts;
  const { file, mode } = request;
  const findings: ChecksumFindings = { codes: [], corrupt: [], unreadable: [], unread: [] };
  const wanted = services.topology.classOf(file.dmid, file.classid).hashtype;
  const asked = algorithmOf(mode.checksums);
  if (mode.checksums === 'off' || (wanted === null && asked === undefined)) return findings;
  const stored = await services.store.findChecksum(file.fid);
  const type = stored?.type ?? wanted ?? asked;
  if (type === undefined) return findings;
  const digests = await digestAll(parts, request, type);
  const byHex = new Map<string, number[]>();
  // Nothing is replaced from what may not be right itself (I2).
  const seen = new Set(digests.flatMap(({ hex }) => hex ?? []));
  const isSure = stored === undefined ? seen.size === 1 : seen.has(stored.hex);
  for (const { devid, hex, reason, unreadable } of digests) {
    if (unreadable && isSure) findings.unreadable.push(devid);
    else if (hex === undefined) findings.unread.push({ devid, reason });
    else byHex.set(hex, [...(byHex.get(hex) ?? []), devid]);
  }
  if (byHex.size === 0) return findings;
  if (stored !== undefined) {
    if (!byHex.has(stored.hex)) findings.codes.push('BSUM');
    else {
      findings.corrupt = [...byHex].flatMap(([hex, at]) => (hex === stored.hex ? [] : at));
      if (wanted !== null && stored.type !== wanted) findings.codes.push('BALG');
    }
    return findings;
  }
  if (byHex.size > 1) findings.codes.push(mode.checksums === undefined ? 'BSUM' : 'MSUM');
  else if (wanted !== null && findings.unread.length === 0) {
    const [hex] = byHex.keys();
    findings.checksum = { type, hex: hex as string };
    findings.codes.push('NSUM');
  }
  return findings;
}

function algorithmOf(setting: string | undefined): HashType | undefined {
  return setting !== undefined && Object.hasOwn(hashTypes, setting)
    ? (setting as HashType)
    : undefined;
}

interface Digest {
  devid: number;
  hex: string | undefined;
  reason: string;
  unreadable?: true;
}

function digestAll(
  { services: { topology, devices, slots }, reach }: { services: JobServices; reach: Reach },
  request: { file: FsckFile; devids: readonly number[]; signals: readonly AbortSignal[] },
  type: HashType,
): Promise<Digest[]> {
  const { file, devids, signals } = request;
  const digestOne = async (devid: number, signal: AbortSignal): Promise<Digest> => {
    const url = topology.readUrl({ devid, fid: file.fid });
    if (url === undefined) return { devid, hex: undefined, reason: 'its host is unknown' };
    const digest = await slots.run({ devids: [devid], bytes: file.length, signals: [signal] }, () =>
      devices.digest(url, type, { signal, background: true }),
    );
    if (digest.state === 'present' && digest.bytes === file.length) {
      return { devid, hex: digest.hex, reason: '' };
    }
    if (digest.state === 'unreadable') {
      // A disk that is about to be refused says nothing about its files (I6).
      const doubt = await reach.findDoubt(devid);
      const { reason } = doubt ?? digest;
      return { devid, hex: undefined, reason, ...(doubt === undefined && { unreadable: true }) };
    }
    const reason = digest.state === 'unreachable' ? digest.reason : 'the file changed meanwhile';
    return { devid, hex: undefined, reason };
  };
  return underAny(signals, (signal) => {
    return Promise.all(devids.map((devid) => digestOne(devid, signal)));
  });
}
