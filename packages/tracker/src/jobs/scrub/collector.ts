/**
 * Collects what storage nodes find while they scrub, and tells them how fast to go. One tracker at
 * a time does it; what it has seen to it tells the node, which then forgets it. A tracker that dies
 * in between leaves findings that the next one looks at again and finds settled (I8, I9).
 */
import { type Finding, type ScrubAnswer, type ScrubOrder, scrubLimits } from '@omgfs/protocol';
import { underAny } from '../../devices/any-signal.ts';
import type { Device } from '../../placement/model.ts';
import { scrubBytesPerSecond, scrubUrl } from '../../topology/scrub-view.ts';
import { forEachOf } from '../fsck/slots.ts';
import { RoundJob, type RoundJobOptions } from '../round-job.ts';
import {
  type FindingParts,
  type FindingVerdict,
  handleFinding,
  type Rest,
  restMs,
} from './finding.ts';

export interface CollectorOptions extends RoundJobOptions {
  /** Told when files wait for replication. */
  onRepaired: () => void;
}

const devicesAtOnce = 8;
/** Pages of findings that one device gets in a round; the others want their turn too. */
const pagesMax = 10;
const restingMax = 10_000;
/** A node that knows no scrub is asked again after so long. */
const unwillingMs = 600_000;

export class ScrubCollector extends RoundJob {
  readonly #parts: FindingParts;
  readonly #options: CollectorOptions;
  /** Findings that rest, by device, name and time. */
  readonly #resting = new Map<string, { rest: Rest; untilMs: number }>();
  readonly #unwilling = new Map<number, number>();
  #rate: number | null | undefined;
  #unsubscribe: () => void = () => {};

  constructor(parts: FindingParts, options: CollectorOptions) {
    super('scrub', parts.services.log, options);
    this.#parts = parts;
    this.#options = options;
  }

  override start(): void {
    const { topology } = this.#parts.services;
    this.#unsubscribe = topology.onChange(() => {
      // An operator who sets a rate wants to see it.
      if (this.#rate !== undefined && this.#rate !== scrubBytesPerSecond(topology)) this.wake();
    });
    super.start();
  }

  override async stop(): Promise<void> {
    this.#unsubscribe();
    await super.stop();
  }

  /** To be called when a device can be read again: findings may have waited for it. */
  hasten(): void {
    for (const [finding, { rest }] of this.#resting) {
      if (rest === 'away') this.#resting.delete(finding);
    }
    this.wake();
  }

  protected async round(): Promise<void> {
    const { store, topology } = this.#parts.services;
    const nowMs = performance.now();
    const devices = [...topology.devices()].filter(
      ({ devid }) => topology.isReadable(devid) && !((this.#unwilling.get(devid) ?? 0) > nowMs),
    );
    if (devices.length === 0) return;
    await store.withLock({ name: 'omg:scrub', waitMs: 0 }, async (lost) => {
      this.#rate = scrubBytesPerSecond(topology);
      await underAny([lost, this.stopping], (signal) =>
        forEachOf(devices, devicesAtOnce, (device) => this.#collect(device, signal)),
      );
    });
  }

  async #collect(device: Device, signal: AbortSignal): Promise<void> {
    const { devid } = device;
    let order: ScrubOrder = this.#rate === undefined ? {} : { bytesPerSecond: this.#rate };
    for (let page = 0; page < pagesMax && !signal.aborted && !this.isResting; page += 1) {
      const answer = await this.#tell(device, order);
      const due = (answer?.pending ?? []).filter((finding) => !this.#rests(devid, finding));
      if (due.length === 0) return;
      order = await this.#handle(devid, due, signal);
    }
    await this.#tell(device, order);
  }

  async #tell(device: Device, order: ScrubOrder): Promise<ScrubAnswer | undefined> {
    const { topology, devices, log } = this.#parts.services;
    const { devid } = device;
    const url = scrubUrl(topology, devid);
    if (url === undefined) return undefined;
    const outcome = await devices.scrub(url, order);
    if (outcome.state === 'told') return outcome.answer;
    if (outcome.state === 'unwilling') {
      this.#unwilling.set(devid, performance.now() + unwillingMs);
      log.debug({ devid, reason: outcome.reason }, 'scrub.unknown');
    }
    return undefined;
  }

  async #handle(devid: number, due: readonly Finding[], signal: AbortSignal): Promise<ScrubOrder> {
    const handled: { name: string; at: string; outcome: string }[] = [];
    const deferred: { name: string; at: string }[] = [];
    for (const finding of due.slice(0, scrubLimits.findingsMax)) {
      if (signal.aborted) break;
      const { name, at } = finding;
      const verdict = await this.#see(devid, finding, signal);
      if (verdict.state === 'settled') {
        handled.push({ name, at, outcome: verdict.outcome });
        if (verdict.repaired) this.#options.onRepaired();
      } else if (!signal.aborted) {
        deferred.push({ name, at });
        this.#rest(devid, finding, verdict.rest);
      }
    }
    return { handled, deferred };
  }

  /** One that fails waits as others do: what was seen to before it must reach the node. */
  async #see(devid: number, finding: Finding, signal: AbortSignal): Promise<FindingVerdict> {
    try {
      return await handleFinding(this.#parts, { devid, finding, signal });
    } catch (err) {
      const { name } = finding;
      if (!signal.aborted) this.#parts.services.log.error({ devid, name, err }, 'scrub.failed');
      return { state: 'waits', reason: String(err), rest: 'passing' };
    }
  }

  #rests(devid: number, { name, at }: Finding): boolean {
    const resting = this.#resting.get(`${devid} ${at} ${name}`);
    return resting !== undefined && resting.untilMs > performance.now();
  }

  #rest(devid: number, { name, at }: Finding, rest: Rest): void {
    if (this.#resting.size >= restingMax) this.#resting.clear();
    const untilMs = performance.now() + restMs[rest];
    this.#resting.set(`${devid} ${at} ${name}`, { rest, untilMs });
  }
}
