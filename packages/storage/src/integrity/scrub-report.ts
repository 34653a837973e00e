/** What the scrub of a device has done and found, as kept on the device and shown over HTTP. */
import type { Finding, FindingId } from '@omgfs/protocol';
import type { Device } from '../device/device.ts';
import { makeDirectories, readFile, rename, writeAtomically, writeFully } from '../device/files.ts';

/** Below a device directory: what the node keeps there besides files. */
export const stateDirectory = '.omgfs';

/** The newest are kept; those that wait are never pushed out. */
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
  /** Recorded before it is moved to the quarantine; trackers must not see it in place. */
  #moving: Finding | undefined;

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

  /**
   * Replaces the report on a device. It survives a power cut like a file: nothing else says why a
   * file was moved to the quarantine.
   */
  async save(device: Device): Promise<void> {
    const { root, run, sync, directories } = device;
    const temp = device.tempPath();
    await makeDirectories(root, stateDirectory, run);
    await directories.sync('');
    await writeAtomically({
      temp,
      sync,
      run,
      fill: (fd) => writeFully(fd, Buffer.from(`${JSON.stringify(this)}\n`)),
      place: () => run(() => rename(temp, `${root}/${stateDirectory}/${reportName}`)),
    });
    await directories.sync(stateDirectory);
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

  /** Whether one more of this name would push out one that nobody has seen to yet. */
  isFull(name: string): boolean {
    return this.waiting.filter((one) => one.name !== name).length >= findingsMax;
  }

  /** Records a finding whose file is about to be moved; it waits for `moved` or `drop`. */
  addMoving(finding: Finding): void {
    this.add(finding);
    this.#moving = finding;
  }

  moved(): void {
    this.#moving = undefined;
  }

  /** Forgets the finding whose file was not moved after all. */
  dropMoving(): void {
    this.findings = this.findings.filter((one) => one !== this.#moving);
    this.#moving = undefined;
  }

  add(finding: Finding): void {
    const others = this.findings.filter(({ name }) => name !== finding.name);
    if (others.length >= findingsMax) {
      // Those that nobody has seen to yet are kept longest.
      const handled = others.findIndex((one) => one.handled !== undefined);
      others.splice(Math.max(0, handled), 1);
    }
    this.findings = [...others, finding];
  }

  /** Findings that wait for the trackers, those first that wait longest or were tried least. */
  get waiting(): Finding[] {
    const moving = this.#moving;
    return this.findings.filter((one) => one.handled === undefined && one !== moving);
  }

  /** Notes what the trackers did. */
  settle(ids: readonly (FindingId & { outcome: string })[]): void {
    for (const { name, at, outcome } of ids) {
      const finding = this.findings.find((one) => one.name === name && one.at === at);
      if (finding !== undefined) finding.handled = outcome;
    }
  }

  /** Puts findings behind the others, because nothing can be done about them now. */
  defer(ids: readonly FindingId[]): void {
    const isDeferred = (one: Finding) =>
      ids.some(({ name, at }) => one.name === name && one.at === at);
    const deferred = this.findings.filter(isDeferred);
    this.findings = [...this.findings.filter((one) => !isDeferred(one)), ...deferred];
  }
}
