/**
 * The tracker's picture of the cluster: what the database says (domains, classes, hosts, devices,
 * settings) and what the monitor observed. Commands, jobs and placement read it synchronously; the
 * monitor and the admin commands replace it. Unknown classes and devices are tolerated, because an
 * adopted database may name them (spec appendix D).
 */
import { BlockList, isIPv4 } from 'node:net';
import { fidPath } from '@omgfs/protocol';
import {
  type Device,
  type Domain,
  deviceRules,
  type FileClass,
  type Host,
  hostRules,
  type ObservedDeviceState,
  type ObservedHostState,
} from '../placement/model.ts';
import { parseNetmask } from '../placement/netmask.ts';
import { Networks } from '../placement/networks.ts';
import type { TopologyRows } from '../store/store.ts';

export interface DeviceObservation {
  state: ObservedDeviceState;
  /** The device refuses a PUT whose Content-MD5 is wrong. */
  rejectBadMd5: boolean | undefined;
  /** Text as the side channel sent it, for example `12.5`. */
  utilization: string | undefined;
}

export interface TopologyOptions {
  mindevcountDefault: number;
  /** A device with less free space takes no new files, in MiB (`min_free_space`). */
  freeSpaceMinMb: number;
  /** Orders by network zone as the plugin of that name does (spec §6.7). */
  zoneLocal?: boolean;
  /** The network this tracker is in, `ip/bits`. */
  localNetwork?: string | undefined;
  /** By devid, in place of what is observed (spec §10). */
  fakeUtilization?: ReadonlyMap<number, string>;
}

/** Everything a topology knows, as plain data for another process. */
export interface TopologySnapshot {
  rows: TopologyRows;
  hosts: [number, ObservedHostState][];
  devices: [number, Partial<DeviceObservation>][];
  usage: [number, { mbTotal: number; mbUsed: number }][];
}

/** How a client reaches hosts: decides between the main and the alternate address (spec §4.2). */
export interface ClientView {
  address?: string | undefined;
  zone?: string | undefined;
}

const nothingObserved: DeviceObservation = {
  state: 'unknown',
  rejectBadMd5: undefined,
  utilization: undefined,
};

export class Topology {
  readonly #options: TopologyOptions;
  #rows: TopologyRows = { domains: [], classes: [], hosts: [], devices: [], settings: [] };
  #domainsByName = new Map<string, Domain>();
  #domainsById = new Map<number, Domain>();
  #hosts = new Map<number, Host>();
  #devices = new Map<number, Device>();
  /** Since when each device is read to be in its state, by the clock of this process. */
  #statusSince = new Map<number, number>();
  #settings = new Map<string, string>();
  #altNetworks = new Map<number, BlockList>();
  #lost = new Set<number>();
  /** Domains whose default class has no row. */
  readonly #implicit = new Set<number>();
  #networks = new Networks(() => undefined);
  #networkByHost = new Map<number, string>();
  readonly #observedHosts = new Map<number, ObservedHostState>();
  readonly #observedDevices = new Map<number, DeviceObservation>();
  /** Figures of our own sweeps, which are fresher than what the database was told last. */
  readonly #usage = new Map<number, { mbTotal: number; mbUsed: number }>();
  readonly #listeners = new Set<() => void>();
  #version = 0;

  constructor(options: TopologyOptions) {
    this.#options = options;
  }

  /** Grows with everything that is told to it. */
  get version(): number {
    return this.#version;
  }

  /** Takes a fresh reading of the database and tells the listeners. */
  replace(rows: TopologyRows): void {
    this.#version += 1;
    this.#rows = rows;
    const classes = new Map<number, Map<string, FileClass>>();
    this.#implicit.clear();
    for (const { dmid } of rows.domains) {
      classes.set(dmid, new Map([['default', this.#defaultClass(dmid)]]));
      this.#implicit.add(dmid);
    }
    for (const row of rows.classes) {
      const name = row.classid === 0 ? 'default' : row.name;
      if (row.classid === 0) this.#implicit.delete(row.dmid);
      classes.get(row.dmid)?.set(name, { ...row, name });
    }
    const domains = rows.domains.map(({ dmid, name }): Domain => {
      return { dmid, name, classes: classes.get(dmid) ?? new Map() };
    });
    this.#domainsByName = new Map(domains.map((domain) => [domain.name, domain]));
    this.#domainsById = new Map(domains.map((domain) => [domain.dmid, domain]));
    this.#hosts = new Map(rows.hosts.map((host) => [host.hostid, host]));
    const nowMs = performance.now();
    this.#statusSince = new Map(
      rows.devices.map(({ devid, status }) => {
        const isKept = this.#devices.get(devid)?.status === status;
        return [devid, (isKept ? this.#statusSince.get(devid) : undefined) ?? nowMs];
      }),
    );
    this.#devices = new Map(
      rows.devices.map((device) => [device.devid, { ...device, ...this.#usage.get(device.devid) }]),
    );
    this.#settings = new Map(rows.settings.map(({ field, value }) => [field, value]));
    const lost = this.setting('omg_lost_devices')?.split(',') ?? [];
    this.#lost = new Set(lost.map(Number));
    this.#networks = new Networks((field) => this.setting(field));
    this.#networkByHost = new Map(
      rows.hosts.map(({ hostid, hostip }) => [hostid, this.#networks.of(hostip)]),
    );
    this.#altNetworks = new Map();
    for (const host of rows.hosts) {
      const network = host.altip === null ? undefined : parseNetwork(host.altmask);
      if (network !== undefined) this.#altNetworks.set(host.hostid, network);
    }
    this.#announce();
  }

  snapshot(): TopologySnapshot {
    return {
      rows: this.#rows,
      hosts: [...this.#observedHosts],
      devices: [...this.#observedDevices],
      usage: [...this.#usage],
    };
  }

  /** Takes over what the topology of another process knows; listeners are told once. */
  restore({ rows, hosts, devices, usage }: TopologySnapshot): void {
    for (const [hostid, state] of hosts) this.#observedHosts.set(hostid, state);
    for (const [devid, seen] of devices) {
      this.#observedDevices.set(devid, { ...nothingObserved, ...seen });
    }
    for (const [devid, figures] of usage) this.#usage.set(devid, figures);
    this.replace(rows);
  }

  /** Notes what the monitor saw of a host. */
  observeHost(hostid: number, state: ObservedHostState): void {
    if (this.observedHost(hostid) === state) return;
    this.#version += 1;
    this.#observedHosts.set(hostid, state);
    this.#announce();
  }

  /** Notes what the monitor saw of a device; fields left out keep their value. */
  observeDevice(devid: number, seen: Partial<DeviceObservation>): void {
    this.#version += 1;
    const before = this.observedDevice(devid);
    this.#observedDevices.set(devid, { ...before, ...seen });
    if (seen.state !== undefined && seen.state !== before.state) this.#announce();
  }

  /** Notes a fresh usage figure; it stays in place when the database is read again. */
  observeUsage(devid: number, usage: { mbTotal: number; mbUsed: number }): void {
    this.#version += 1;
    this.#usage.set(devid, usage);
    const device = this.#devices.get(devid);
    if (device !== undefined) this.#devices.set(devid, { ...device, ...usage });
  }

  /** Calls back after every change of rows or observed states. @returns the way to stop. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  domain(name: string): Domain | undefined {
    return this.#domainsByName.get(name);
  }

  domainById(dmid: number): Domain | undefined {
    return this.#domainsById.get(dmid);
  }

  domains(): IterableIterator<Domain> {
    return this.#domainsByName.values();
  }

  /** The class of a file; one that no longer exists counts as the default class. */
  classOf(dmid: number, classid: number): FileClass {
    const classes = this.#domainsById.get(dmid)?.classes;
    for (const fileClass of classes?.values() ?? []) {
      if (fileClass.classid === classid) return fileClass;
    }
    return classes?.get('default') ?? this.#defaultClass(dmid);
  }

  /** False of a class that is gone, or was made on another tracker a moment ago. */
  knowsClass({ dmid, classid }: { dmid: number; classid: number }): boolean {
    return this.classOf(dmid, classid).classid === classid;
  }

  host(hostid: number): Host | undefined {
    return this.#hosts.get(hostid);
  }

  hostByName(hostname: string): Host | undefined {
    for (const host of this.#hosts.values()) if (host.hostname === hostname) return host;
    return undefined;
  }

  hosts(): IterableIterator<Host> {
    return this.#hosts.values();
  }

  device(devid: number): Device | undefined {
    return this.#devices.get(devid);
  }

  /** Whether the device has been in this state for so long, as far as this process knows. */
  hasKept({ devid, status, seconds }: Pick<Device, 'devid' | 'status'> & { seconds: number }) {
    const sinceMs = this.#statusSince.get(devid);
    if (sinceMs === undefined || this.#devices.get(devid)?.status !== status) return false;
    return performance.now() - sinceMs >= seconds * 1000;
  }

  devices(): IterableIterator<Device> {
    return this.#devices.values();
  }

  setting(field: string): string | undefined {
    return this.#settings.get(field);
  }

  observedHost(hostid: number): ObservedHostState {
    return this.#observedHosts.get(hostid) ?? 'unknown';
  }

  observedDevice(devid: number): DeviceObservation {
    const seen = this.#observedDevices.get(devid) ?? nothingObserved;
    const utilization = this.#options.fakeUtilization?.get(devid);
    return utilization === undefined ? seen : { ...seen, utilization };
  }

  /** Whether the device was away for so long that its files are copied elsewhere. */
  isLost(devid: number): boolean {
    return this.#lost.has(devid);
  }

  /** Whether a class is the default class of a domain that has no row for it. */
  isImplicit({ dmid, classid }: FileClass): boolean {
    return classid === 0 && this.#implicit.has(dmid);
  }

  /** The network zone of a host, or its /16 (spec §6.5). */
  networkOf(hostid: number): string {
    return this.#networkByHost.get(hostid) ?? '';
  }

  /** Devices in the zone of a client first, in their order; without ZoneLocal all as they are. */
  nearFirst(devids: readonly number[], address: string | undefined): readonly number[] {
    if (!this.#options.zoneLocal) return devids;
    const near = this.nearOnly(devids, address);
    return [...near, ...devids.filter((devid) => !near.includes(devid))];
  }

  /**
   * Devices in the zone of an address, or of this tracker where none is given; without ZoneLocal
   * all of them.
   */
  nearOnly(devids: readonly number[], address: string | undefined): number[] {
    const { zoneLocal = false, localNetwork } = this.#options;
    const from = address ?? localNetwork?.split('/')[0];
    if (!zoneLocal || from === undefined) return [...devids];
    const zone = this.#networks.of(from);
    return devids.filter((devid) => {
      const device = this.#devices.get(devid);
      return device !== undefined && this.networkOf(device.hostid) === zone;
    });
  }

  /** Whether the monitor looks at the device at all (spec §4.4). */
  isMonitored(device: Device): boolean {
    const host = this.#hosts.get(device.hostid);
    return host !== undefined && hostRules[host.status].read && deviceRules[device.status].read;
  }

  /** Whether replicas on the device can be read now. */
  isReadable(devid: number): boolean {
    const device = this.#devices.get(devid);
    if (device === undefined || !this.isMonitored(device)) return false;
    if (this.observedHost(device.hostid) !== 'reachable') return false;
    const { state } = this.observedDevice(devid);
    return state === 'readable' || state === 'writeable';
  }

  /** Whether states set by the operator allow deletes on the device. */
  canDeleteFrom(devid: number): boolean {
    const device = this.#devices.get(devid);
    const host = device && this.#hosts.get(device.hostid);
    return (
      device !== undefined &&
      host !== undefined &&
      hostRules[host.status].write &&
      deviceRules[device.status].write
    );
  }

  /** Whether new files and replicas may be put on the device now. */
  getsNewFiles(devid: number): boolean {
    const device = this.#devices.get(devid);
    const host = device && this.#hosts.get(device.hostid);
    if (device === undefined || host === undefined) return false;
    if (!deviceRules[device.status].newFiles || !hostRules[host.status].write) return false;
    if (this.observedHost(host.hostid) !== 'reachable') return false;
    if (this.observedDevice(devid).state !== 'writeable') return false;
    if (device.mbTotal === null || device.mbUsed === null) return true;
    return device.mbTotal - device.mbUsed >= this.#options.freeSpaceMinMb;
  }

  /** URL for writing, deleting and closing a replica; undefined for an unknown device. */
  writeUrl(place: { devid: number; fid: number }, client: ClientView = {}): string | undefined {
    const host = this.#hostOf(place.devid);
    if (host === undefined) return undefined;
    const path = fidPath(place.devid, place.fid);
    return `http://${this.#addressFor(host, client)}:${host.httpPort}${path}`;
  }

  /** URL for reading a replica; undefined for an unknown device. */
  readUrl(place: { devid: number; fid: number }, client: ClientView = {}): string | undefined {
    const host = this.#hostOf(place.devid);
    if (host === undefined) return undefined;
    const path = fidPath(place.devid, place.fid);
    return `http://${this.#addressFor(host, client)}:${host.httpGetPort || host.httpPort}${path}`;
  }

  #hostOf(devid: number): Host | undefined {
    const device = this.#devices.get(devid);
    return device && this.#hosts.get(device.hostid);
  }

  #addressFor(host: Host, client: ClientView): string {
    const network = this.#altNetworks.get(host.hostid);
    if (network === undefined || host.altip === null) return host.hostip;
    if (client.zone === 'alt') return host.altip;
    const address = client.address;
    return address !== undefined && isIPv4(address) && network.check(address)
      ? host.altip
      : host.hostip;
  }

  #defaultClass(dmid: number): FileClass {
    const mindevcount = this.#options.mindevcountDefault;
    return { dmid, classid: 0, name: 'default', mindevcount, hashtype: null, replpolicy: null };
  }

  #announce(): void {
    for (const listener of this.#listeners) listener();
  }
}

/** The addresses of a network; undefined for what is none. */
export function parseNetwork(text: string | null): BlockList | undefined {
  const netmask = parseNetmask(text ?? '');
  if (netmask === undefined) return undefined;
  const network = new BlockList();
  network.addSubnet(netmask.address, netmask.bits, 'ipv4');
  return network;
}
