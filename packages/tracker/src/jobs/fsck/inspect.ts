/**
 * The quick look at many files (spec §5.5, steps 1 to 7): what the database says is compared, then
 * the devices are asked for lengths. It changes nothing; whatever is not plainly right is left to a
 * repair, which looks again under the lock of the fid.
 */
import { isTrue } from '@omgfs/protocol';
import type { FsckFile, FsckState, FsckWait } from '../../store/fsck-store.ts';
import type { JobServices } from '../services.ts';
import type { Judge } from './judge.ts';
import type { Look, Reach } from './reach.ts';
import type { Slots } from './slots.ts';

/** What a run looks at. */
export interface FsckMode {
  policyOnly: boolean;
  skipDevcount: boolean;
  /** `off`, an algorithm for all files, or undefined for what their classes say. */
  checksums: string | undefined;
}

export function modeOf({ policyOnly, skipDevcount, checksums }: FsckState): FsckMode {
  return { policyOnly, skipDevcount, checksums: isTrue(checksums) ? checksums : undefined };
}

export interface Findings {
  /** Files that need a closer look. */
  suspects: number[];
  /** Files whose device count seems wrong, and nothing else. */
  miscounted: number[];
  /** Files that cannot be judged before a device answers. */
  waits: { fid: number; devid: number; reason: string }[];
}

export interface InspectorParts {
  services: JobServices;
  reach: Reach;
  judge: Judge;
  /** Questions to devices at once. */
  slots: Slots;
}

export class Inspector {
  readonly #parts: InspectorParts;

  constructor(parts: InspectorParts) {
    this.#parts = parts;
  }

  async inspect(files: readonly FsckFile[], mode: FsckMode): Promise<Findings> {
    const findings: Findings = { suspects: [], miscounted: [], waits: [] };
    const toAsk: FsckFile[] = [];
    const hashed: number[] = [];
    for (const file of files) {
      if (this.#isSuspect(file, mode)) {
        findings.suspects.push(file.fid);
        continue;
      }
      const isMiscounted = !mode.skipDevcount && file.devcount !== file.devids.length;
      if (isMiscounted) findings.miscounted.push(file.fid);
      if (!mode.policyOnly) toAsk.push(file);
      else if (mode.checksums !== 'off' && this.#hashtype(file) !== null) hashed.push(file.fid);
    }
    if (hashed.length > 0) await this.#findUnhashed(hashed, findings);
    await this.#askDevices(toAsk, findings);
    return findings;
  }

  /** Whether the database alone says that the file needs a closer look. */
  #isSuspect(file: FsckFile, mode: FsckMode): boolean {
    const { reach, judge } = this.#parts;
    if (file.devids.length === 0) return true;
    for (const devid of file.devids) if (reach.isGone(devid)) return true;
    if (judge.isViolated(file, file.devids)) return true;
    if (mode.policyOnly || mode.checksums === 'off') return false;
    // All bytes of the replicas are to be read.
    return mode.checksums !== undefined || this.#hashtype(file) !== null;
  }

  #hashtype({ dmid, classid }: FsckFile): string | null {
    return this.#parts.services.topology.classOf(dmid, classid).hashtype;
  }

  async #findUnhashed(fids: readonly number[], findings: Findings): Promise<void> {
    const known = await this.#parts.services.store.fsck.withChecksum(fids);
    this.#suspect(findings, new Set(fids.filter((fid) => !known.has(fid))));
  }

  async #askDevices(files: readonly FsckFile[], findings: Findings): Promise<void> {
    const suspects = new Set<number>();
    await Promise.all(
      files.map(async (file) => {
        const looks = await Promise.all(file.devids.map((devid) => this.#look(file, devid)));
        if (looks.some(({ state }) => state !== 'good' && state !== 'unsure')) {
          suspects.add(file.fid);
          return;
        }
        for (const [at, look] of looks.entries()) {
          if (look.state !== 'unsure') continue;
          const devid = file.devids[at] as number;
          findings.waits.push({ fid: file.fid, devid, reason: look.reason });
          return;
        }
      }),
    );
    this.#suspect(findings, suspects);
  }

  #look(file: FsckFile, devid: number): Promise<Look> {
    const { reach, slots } = this.#parts;
    return slots.run(() => reach.look(file, devid));
  }

  /** A suspect's device count is the repair's business. */
  #suspect(findings: Findings, fids: ReadonlySet<number>): void {
    if (fids.size === 0) return;
    findings.suspects.push(...fids);
    findings.miscounted = findings.miscounted.filter((fid) => !fids.has(fid));
  }

  /**
   * Says what waits, once it is in the queue: who reads the log must find it there. One line for a
   * device, however many files wait for it.
   */
  report({ waits }: Findings): void {
    const byDevice = new Map<number, { files: number; fid: number; reason: string }>();
    for (const { fid, devid, reason } of waits) {
      const before = byDevice.get(devid);
      byDevice.set(devid, { fid, reason, files: (before?.files ?? 0) + 1 });
    }
    for (const [devid, { files, fid, reason }] of byDevice) {
      this.#parts.services.log.warn({ devid, files, fid, reason }, 'fsck.postponed');
    }
  }
}

/** Seconds until a check is tried again that waits for a device; sooner when that comes back. */
export function waitSeconds(failcount: number): number {
  return delaysSeconds[failcount] ?? delaySecondsMax;
}

const delaysSeconds = [60, 300, 1000, 3600, 4 * 3600];
const delaySecondsMax = 86_400;

/** Waits as the queue takes them: suspects are due now. */
export function waitsOf(
  { suspects, waits }: Findings,
  { asksDevices }: { asksDevices: boolean },
): FsckWait[] {
  return [
    ...suspects.map((fid) => ({ fid, delaySeconds: 0, asksDevices })),
    ...waits.map((wait) => ({ ...wait, delaySeconds: waitSeconds(0), failcount: 1, asksDevices })),
  ];
}
