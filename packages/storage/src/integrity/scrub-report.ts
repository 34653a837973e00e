/** What the scrub of a device has done and found, as kept on the device and shown over HTTP. */
import { mkdir, readFile, rename, writeAtomically, writeFully } from '../device/files.ts';
import type { Runner } from '../device/io/lane.ts';

/** Below a device directory: what the node keeps there besides files. */
export const stateDirectory = '.omgfs';

export interface Finding {
  /** Relative to the device. */
  name: string;
  /** `corrupt`: moved to the quarantine; `unreadable`: still where it was. */
  kind: string;
  reason: string;
  /** Where the file is now, relative to the device. */
  quarantine?: string;
  /** ISO 8601. */
  at: string;
}

/** The newest are kept. */
const findingsMax = 1000;
const reportName = 'scrub.json';

export class ScrubReport {
  /** The file that was looked at last, empty before the first of a round. */
  position = '';
  /** Rounds that were finished. */
  rounds = 0;
  startedAt = '';
  endedAt = '';
  /** Of this round. */
  totals = { files: 0, bytes: 0, verified: 0, recorded: 0 };
  findings: Finding[] = [];

  /** Reads the report of a device; one that is damaged or absent begins anew. */
  static async load(root: string): Promise<ScrubReport> {
    const report = new ScrubReport();
    try {
      const text = await readFile(`${root}/${stateDirectory}/${reportName}`, 'utf8');
      const { position, rounds, startedAt, endedAt, totals, findings } = JSON.parse(
        text,
      ) as ScrubReport;
      if (typeof position !== 'string' || !Array.isArray(findings)) return report;
      Object.assign(report, { position, rounds, startedAt, endedAt, totals, findings });
    } catch {
      // A first round, or one that was torn: everything is looked at again.
    }
    return report;
  }

  async save(root: string, { temp, run }: { temp: string; run: Runner }): Promise<void> {
    const directory = `${root}/${stateDirectory}`;
    await run(() => mkdir(directory, { recursive: true, mode: 0o755 }));
    await writeAtomically({
      temp,
      sync: undefined,
      run,
      fill: (fd) => writeFully(fd, Buffer.from(`${JSON.stringify(this)}\n`)),
      place: () => run(() => rename(temp, `${directory}/${reportName}`)),
    });
  }

  begin(): void {
    if (this.position !== '') return;
    this.startedAt = new Date().toISOString();
    this.totals = { files: 0, bytes: 0, verified: 0, recorded: 0 };
  }

  end(): void {
    this.position = '';
    this.rounds += 1;
    this.endedAt = new Date().toISOString();
  }

  count(bytes: number): void {
    this.totals.files += 1;
    this.totals.bytes += bytes;
  }

  add(finding: Finding): void {
    this.findings = [...this.findings.filter(({ name }) => name !== finding.name), finding];
    this.findings = this.findings.slice(-findingsMax);
  }
}
