/**
 * One look at all devices, all at once, in bounded time however many are dead. It tells the
 * topology what it saw, logs each change of state once with its reason, and remembers the write
 * tests.
 */
import type {
  Device,
  Host,
  ObservedDeviceState,
  ObservedHostState,
} from '../../placement/model.ts';
import type { DeviceUsage } from '../../store/store.ts';
import { type JobServices, nowSeconds } from '../services.ts';
import { checkDevice, type DeviceFinding } from './device-check.ts';

/** What the sweeps so far know of a device. */
interface Memory {
  state: ObservedDeviceState;
  reason: string | undefined;
  /** When it last passed a write test. */
  passedAtMs: number;
}

export class Sweep {
  readonly #services: Pick<JobServices, 'topology' | 'devices' | 'log'>;
  readonly #writeTestEveryMs: number;
  readonly #memories = new Map<number, Memory>();
  readonly #usage = new Map<number, DeviceUsage>();

  constructor(
    services: Pick<JobServices, 'topology' | 'devices' | 'log'>,
    options: { writeTestEveryMs: number },
  ) {
    this.#services = services;
    this.#writeTestEveryMs = options.writeTestEveryMs;
  }

  /** Usage as last read, of devices that answered in the last sweep. */
  get usage(): IterableIterator<DeviceUsage> {
    return this.#usage.values();
  }

  async run(): Promise<void> {
    const { topology } = this.#services;
    this.#usage.clear();
    const byHost = new Map<number, Device[]>();
    for (const device of topology.devices()) {
      if (!topology.isMonitored(device)) continue;
      byHost.set(device.hostid, [...(byHost.get(device.hostid) ?? []), device]);
    }
    for (const devid of this.#memories.keys()) {
      if (topology.device(devid) === undefined) this.#memories.delete(devid);
    }
    await Promise.all([...byHost].map(([hostid, devices]) => this.#lookAtHost(hostid, devices)));
  }

  /** A host is reachable when any of its devices made it answer; one slow disk is not the host. */
  async #lookAtHost(hostid: number, devices: Device[]): Promise<void> {
    const host = this.#services.topology.host(hostid);
    if (host === undefined) return;
    const answers = await Promise.all(devices.map((device) => this.#lookAtDevice(host, device)));
    if (!answers.includes(true)) this.#observeHost(host, 'unreachable');
  }

  /** @returns whether the host answered. */
  async #lookAtDevice(host: Host, device: Device): Promise<boolean> {
    const { topology, devices } = this.#services;
    const memory = this.#memories.get(device.devid);
    const skipWriteTest =
      memory?.state === 'writeable' &&
      performance.now() - memory.passedAtMs < this.#writeTestEveryMs;
    const finding = await checkDevice(devices, { host, device, skipWriteTest });
    const { devid } = device;
    // The database may have been read again meanwhile, and the device may be gone.
    if (topology.device(devid) === undefined) return finding.hostAnswered;
    if (finding.hostAnswered) this.#observeHost(host, 'reachable');
    if (finding.usage !== undefined) {
      topology.observeUsage(devid, finding.usage);
      this.#usage.set(devid, { devid, ...finding.usage, mbAsof: nowSeconds() });
    }
    this.#observeDevice(device, finding);
    return finding.hostAnswered;
  }

  #observeHost({ hostid, hostname }: Host, state: ObservedHostState): void {
    const { topology, log } = this.#services;
    if (topology.observedHost(hostid) === state) return;
    if (state === 'unreachable') log.warn({ hostid, hostname, state }, 'host.state');
    else log.info({ hostid, hostname, state }, 'host.state');
    topology.observeHost(hostid, state);
  }

  #observeDevice({ devid, hostid }: Device, finding: DeviceFinding): void {
    const { topology, log } = this.#services;
    const { state, reason, passedWriteTest, rejectBadMd5 } = finding;
    const before = this.#memories.get(devid);
    if (before?.state !== state || before.reason !== reason) {
      if (reason === undefined) log.info({ devid, hostid, state }, 'device.state');
      else log.warn({ devid, hostid, state, reason }, 'device.state');
    }
    const passedAtMs = passedWriteTest ? performance.now() : (before?.passedAtMs ?? 0);
    this.#memories.set(devid, { state, reason, passedAtMs });
    topology.observeDevice(devid, {
      state,
      ...(rejectBadMd5 === undefined ? {} : { rejectBadMd5 }),
    });
  }
}
