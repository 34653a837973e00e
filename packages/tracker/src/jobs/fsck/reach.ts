/**
 * What can be said of a replica by asking its device. A device that does not answer, or that the
 * monitor or the operator does not trust, says nothing about its files: least of all that one is
 * missing (I6). One that failed to answer several times is left alone for a while, so that it does
 * not hold up the files of others.
 */
import { deviceRules } from '../../placement/model.ts';
import { Rounds } from '../rounds.ts';
import type { JobServices } from '../services.ts';

export type Look =
  | { state: 'good' }
  | { state: 'missing' }
  | { state: 'wrong'; bytes: number }
  | { state: 'unsure'; reason: string };

interface Silence {
  failures: number;
  untilMs: number;
  reason: string;
}

const failuresMax = 3;
const silenceMs = 10_000;

export class Reach {
  readonly #services: JobServices;
  readonly #silences = new Map<number, Silence>();
  readonly #probes = new Map<number, Rounds>();

  constructor(services: JobServices) {
    this.#services = services;
  }

  /** Dead or not in the database: it holds nothing any more. */
  isGone(devid: number): boolean {
    const device = this.#services.topology.device(devid);
    return device === undefined || !deviceRules[device.status].holdsFiles;
  }

  /** Whether what the device says of its files can be believed now. */
  isJudgeable(devid: number): boolean {
    return this.isGone(devid) || this.#services.topology.isReadable(devid);
  }

  /** Asks a device for the length of a replica. */
  async look(file: { fid: number; length: number }, devid: number): Promise<Look> {
    const { topology, devices } = this.#services;
    const device = topology.device(devid);
    const url = topology.readUrl({ devid, fid: file.fid });
    if (device === undefined || url === undefined) return unsure(devid, 'its host is unknown');
    const isTrusted = topology.isReadable(devid);
    if (!isTrusted && topology.isMonitored(device)) {
      return unsure(devid, 'the monitor cannot read it');
    }
    const silence = this.#silences.get(devid);
    if (silence !== undefined && silence.untilMs > performance.now()) {
      return unsure(devid, silence.reason);
    }
    const size = await devices.size(url, { background: true });
    if (size.state === 'unreachable') {
      this.#noteSilence(devid, size.reason);
      return unsure(devid, size.reason);
    }
    this.#silences.delete(devid);
    if (size.state === 'present' && size.bytes === file.length) return { state: 'good' };
    // Nobody watches a device that is marked down: its disk may not even be mounted.
    if (!isTrusted) return unsure(devid, 'it is marked down, so its answers are not believed');
    return size.state === 'missing' ? size : { state: 'wrong', bytes: size.bytes };
  }

  /** As `look`, but a bad answer counts only if the device shows its usage file after it. */
  async lookClosely(file: { fid: number; length: number }, devid: number): Promise<Look> {
    const look = await this.look(file, devid);
    if (look.state !== 'missing' && look.state !== 'wrong') return look;
    try {
      await this.#probe(devid).run();
      return look;
    } catch (error) {
      return unsure(devid, error instanceof Error ? error.message : String(error));
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

  #noteSilence(devid: number, reason: string): void {
    const failures = (this.#silences.get(devid)?.failures ?? 0) + 1;
    const untilMs = failures < failuresMax ? 0 : performance.now() + silenceMs;
    this.#silences.set(devid, { failures, untilMs, reason });
  }
}

/** In the words of the original, which operators look for. */
function unsure(devid: number, reason: string): Look {
  return { state: 'unsure', reason: `Connectivity problem reaching device ${devid}: ${reason}` };
}
