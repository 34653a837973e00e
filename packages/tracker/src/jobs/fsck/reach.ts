/**
 * What can be said of a replica by asking its device. A device that does not answer, or that the
 * monitor or the operator does not trust, says nothing about its files: least of all that one is
 * missing (I6). One that failed to answer several times is left alone for a while, so that it does
 * not hold up the files of others.
 */
import type { SizeOutcome } from '../../devices/size.ts';
import { deviceRules } from '../../placement/model.ts';
import { Rounds } from '../rounds.ts';
import type { JobServices } from '../services.ts';

export type Look =
  | { state: 'good' }
  | { state: 'missing' }
  | { state: 'wrong'; bytes: number }
  /** The device says so, while its disk works. */
  | { state: 'unreadable'; reason: string }
  | Unsure;

interface Unsure {
  state: 'unsure';
  reason: string;
}

/** A device that gave no answer, and how long it is doubted for that. */
interface Silence {
  failures: number;
  untilMs: number;
  lastsMs: number;
  reason: string;
}

/** So many failures in a row, and it is not asked any more until its time is over. */
const failuresMax = 3;
const silenceMsMin = 5_000;
const silenceMsMax = 600_000;
/** Longer than it takes to write down that a check waits. */
const doubtMs = 10_000;

export class Reach {
  readonly #services: JobServices;
  readonly #silences = new Map<number, Silence>();
  readonly #probes = new Map<number, Rounds>();
  /** When a look at each device came to nothing last. */
  readonly #doubtedAtMs = new Map<number, number>();

  constructor(services: JobServices) {
    this.#services = services;
  }

  /** Dead or not in the database: it holds nothing any more. */
  isGone(devid: number): boolean {
    const device = this.#services.topology.device(devid);
    return device === undefined || !deviceRules[device.status].holdsFiles;
  }

  /** Whether the device may be expected to answer now, and can be believed. */
  isJudgeable(devid: number): boolean {
    if (this.isGone(devid)) return true;
    return this.#services.topology.isReadable(devid) && this.#silenceOf(devid) === undefined;
  }

  /** Whether checks may have begun a short while ago to wait for the device. */
  isDoubted(devid: number): boolean {
    const atMs = this.#doubtedAtMs.get(devid);
    return atMs !== undefined && performance.now() - atMs < doubtMs;
  }

  #silenceOf(devid: number): Silence | undefined {
    const silence = this.#silences.get(devid);
    return silence !== undefined && silence.untilMs > performance.now() ? silence : undefined;
  }

  /** Asks a device for the length of a replica. */
  async look(file: { fid: number; length: number }, devid: number): Promise<Look> {
    const { topology } = this.#services;
    const device = topology.device(devid);
    const url = topology.readUrl({ devid, fid: file.fid });
    if (device === undefined || url === undefined)
      return this.#unsure(devid, 'its host is unknown');
    const isTrusted = topology.isReadable(devid);
    if (!isTrusted && topology.isMonitored(device)) {
      return this.#unsure(devid, 'the monitor cannot read it');
    }
    const size = await this.#askSize(devid, url);
    if (size.state === 'unreachable' && !size.ofFile) return this.#unsure(devid, size.reason);
    if (size.state === 'present' && size.bytes === file.length) return { state: 'good' };
    // Nobody watches a device that is marked down: its disk may not even be mounted.
    if (!isTrusted)
      return this.#unsure(devid, 'it is marked down, so its answers are not believed');
    if (size.state === 'unreachable') return { state: 'unreadable', reason: size.reason };
    return size.state === 'missing' ? size : { state: 'wrong', bytes: size.bytes };
  }

  /** One that turns out to be silent is not asked by those who waited for their turn. */
  #askSize(devid: number, url: string): Promise<SizeOutcome> {
    const { slots, devices } = this.#services;
    return slots.run({ devids: [devid], bytes: 0, signals: [] }, async () => {
      const silence = this.#silenceOf(devid);
      if (silence !== undefined && silence.failures >= failuresMax) {
        return { state: 'unreachable', reason: silence.reason };
      }
      const size = await devices.size(url, { background: true });
      if (size.state === 'unreachable' && !size.ofFile) this.#noteSilence(devid, size.reason);
      else this.#silences.delete(devid);
      return size;
    });
  }

  /** As `look`, but a bad answer counts only if the device shows its usage file after it. */
  async lookClosely(file: { fid: number; length: number }, devid: number): Promise<Look> {
    const look = await this.look(file, devid);
    if (look.state === 'good' || look.state === 'unsure') return look;
    return (await this.findDoubt(devid)) ?? look;
  }

  /** Why a bad answer of the device does not count; undefined when it shows its usage file. */
  async findDoubt(devid: number): Promise<Unsure | undefined> {
    try {
      await this.#probe(devid).run();
      return undefined;
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      this.#noteSilence(devid, reason);
      return this.#unsure(devid, reason);
    }
  }

  /** Shared by those who ask about one device at the same time. */
  #probe(devid: number): Rounds {
    let probe = this.#probes.get(devid);
    if (probe === undefined) {
      probe = new Rounds(() => this.#readUsage(devid));
      this.#probes.set(devid, probe);
    }
    return probe;
  }

  async #readUsage(devid: number): Promise<void> {
    const { topology, devices } = this.#services;
    const device = topology.device(devid);
    const host = device && topology.host(device.hostid);
    if (host === undefined) throw new Error('its host is unknown');
    const { hostip, httpPort, httpGetPort } = host;
    const usage = await devices.readUsage({
      devid,
      readBase: `http://${hostip}:${httpGetPort || httpPort}`,
      writeBase: `http://${hostip}:${httpPort}`,
    });
    if (usage.state !== 'read') throw new Error(usage.reason);
  }

  /** One that fails again when its time is over is left alone for longer. */
  #noteSilence(devid: number, reason: string): void {
    const before = this.#silences.get(devid);
    const lasting = this.#silenceOf(devid);
    const lastsMs =
      lasting?.lastsMs ??
      Math.min(silenceMsMax, before === undefined ? silenceMsMin : 2 * before.lastsMs);
    const failures = (lasting?.failures ?? 0) + 1;
    const untilMs = performance.now() + lastsMs;
    this.#silences.set(devid, { failures, untilMs, lastsMs, reason });
  }

  /** In the words of the original, which operators look for. */
  #unsure(devid: number, reason: string): Unsure {
    this.#doubtedAtMs.set(devid, performance.now());
    return { state: 'unsure', reason: `Connectivity problem reaching device ${devid}: ${reason}` };
  }
}
