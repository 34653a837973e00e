/**
 * Keeps the tracker's picture of the cluster fresh (spec §5.1): reads the database every few
 * seconds, looks at all devices every few seconds, and writes their usage to the database where no
 * other tracker does. A database that is down is tried again for ever and logged once.
 */
import { UtilizationWatch } from '../../devices/side-channel/utilization-watch.ts';
import { FaultLog } from '../fault-log.ts';
import type { JobStatus } from '../job.ts';
import { Repeater } from '../repeater.ts';
import { Rounds } from '../rounds.ts';
import { type JobServices, nowSeconds } from '../services.ts';
import { Sweep } from './sweep.ts';

export interface MonitorOptions {
  topologyEveryMs: number;
  sweepEveryMs: number;
  writeTestEveryMs: number;
  /** Where nodes tell how busy their disks are; undefined where none does. */
  sideChannel?: { port: number; connTimeoutMs: number } | undefined;
  /** Age at which usage in the database is replaced. */
  usageEverySeconds: number;
}

export class Monitor {
  readonly #services: JobServices;
  readonly #options: MonitorOptions;
  readonly #sweep: Sweep;
  readonly #reloads = new Rounds(() => this.#reload());
  readonly #sweeps = new Rounds(() => this.#lookAround());
  readonly #repeaters: { topology: Repeater; sweep: Repeater };
  readonly #faults: { topology: FaultLog; sweep: FaultLog };
  readonly #utilization: UtilizationWatch | undefined;
  #loaded = false;
  #isOn = true;
  #processed = 0;
  #failed = 0;
  #lastUsageSeconds = 0;
  #announceFirstRun: () => void = () => {};

  /** Resolves after the first sweep of what the database says, even if that is nothing. */
  readonly firstRun: Promise<void>;

  constructor(services: JobServices, options: MonitorOptions) {
    this.#services = services;
    this.#options = options;
    this.#sweep = new Sweep(services, options);
    this.#utilization = options.sideChannel && createWatch(services, options.sideChannel);
    this.firstRun = new Promise((resolve) => {
      this.#announceFirstRun = resolve;
    });
    const { log } = services;
    this.#faults = {
      topology: new FaultLog(log, 'monitor.topology'),
      sweep: new FaultLog(log, 'monitor.sweep'),
    };
    this.#repeaters = {
      topology: new Repeater({
        everyMs: options.topologyEveryMs,
        run: async () => {
          if (this.#isOn) await this.#reloadAndWakeSweep();
        },
        onError: (error) => this.#note('topology', error),
      }),
      sweep: new Repeater({
        everyMs: options.sweepEveryMs,
        run: async () => {
          if (this.#isOn) await this.nextSweep();
        },
        onError: (error) => this.#note('sweep', error),
      }),
    };
  }

  start(): void {
    for (const repeater of Object.values(this.#repeaters)) repeater.start();
  }

  async stop(): Promise<void> {
    this.#utilization?.close();
    await Promise.all(Object.values(this.#repeaters).map((repeater) => repeater.stop()));
  }

  /** Looks at everything now. */
  wake(): void {
    for (const repeater of Object.values(this.#repeaters)) repeater.wake();
  }

  /**
   * Reads the database and then looks at the devices; both begin after the call, so that whoever
   * wrote before it finds the effect after it. @throws DB_DOWN.
   */
  async refresh(): Promise<void> {
    await this.reload();
    await this.nextSweep();
  }

  /** Reads the database, beginning after the call. @throws DB_DOWN. */
  reload(): Promise<void> {
    return this.#reloads.run();
  }

  /** Looks at the devices, beginning after the call. */
  nextSweep(): Promise<void> {
    return this.#sweeps.run();
  }

  /** With 0 nothing is looked at but what somebody asks for. */
  setConcurrency(count: number): void {
    this.#isOn = count > 0;
    if (this.#isOn) this.wake();
  }

  status(): JobStatus {
    const count = this.#isOn ? 1 : 0;
    return {
      name: 'monitor',
      state: this.#isOn ? 'running' : 'paused',
      concurrency: count,
      running: count,
      processed: this.#processed,
      settled: this.#processed,
      failed: this.#failed,
      lastError: this.#faults.topology.last ?? this.#faults.sweep.last,
    };
  }

  async #reloadAndWakeSweep(): Promise<void> {
    const first = !this.#loaded;
    await this.reload();
    // The first sweep need not wait for its turn.
    if (first) this.#repeaters.sweep.wake();
  }

  async #reload(): Promise<void> {
    const { store, topology } = this.#services;
    topology.replace(await store.loadTopology());
    this.#faults.topology.wentWell();
    this.#loaded = true;
  }

  async #lookAround(): Promise<void> {
    const loaded = this.#loaded;
    await this.#sweep.run();
    this.#processed += 1;
    if (!loaded) return;
    this.#followReachable();
    // The picture is complete without the database knowing the usage.
    this.#announceFirstRun();
    await this.#writeUsage();
    this.#faults.sweep.wentWell();
  }

  #followReachable(): void {
    const { topology } = this.#services;
    const reachable = [...topology.hosts()].filter(({ hostid }) => {
      return topology.observedHost(hostid) === 'reachable';
    });
    this.#utilization?.follow(new Set(reachable.map(({ hostip }) => hostip)));
  }

  /** Writes usage that is missing or old in the database, unless another tracker is doing so. */
  async #writeUsage(): Promise<void> {
    const { store, topology } = this.#services;
    const { usageEverySeconds } = this.#options;
    const oldest = nowSeconds() - usageEverySeconds;
    if (this.#lastUsageSeconds > oldest) return;
    const rows = [...this.#sweep.usage].filter(({ devid }) => {
      return (topology.device(devid)?.mbAsof ?? 0) <= oldest;
    });
    if (rows.length === 0) return;
    await store.withLock({ name: 'mgfs:device_update', waitMs: 0 }, async () => {
      await store.setDeviceUsage(rows);
      this.#lastUsageSeconds = nowSeconds();
    });
  }

  #note(loop: 'topology' | 'sweep', error: unknown): void {
    this.#failed += 1;
    this.#faults[loop].failed(error);
  }
}

function createWatch(
  { topology }: JobServices,
  place: { port: number; connTimeoutMs: number },
): UtilizationWatch {
  return new UtilizationWatch({
    ...place,
    onUtilization: (devid, utilization) => {
      // A node knows directories that the database does not.
      if (topology.device(devid) !== undefined) topology.observeDevice(devid, { utilization });
    },
  });
}
