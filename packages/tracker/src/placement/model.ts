/**
 * The things placement decides about: hosts, devices, classes and their states (spec §3.2, §4.3,
 * §4.4). Plain data and pure predicates; observed states are passed in by the topology.
 */
import type { HashType } from '@omgfs/protocol';

export const hostStatuses = ['alive', 'dead', 'down', 'readonly'] as const;
export type HostStatus = (typeof hostStatuses)[number];

export const deviceStatuses = ['alive', 'dead', 'down', 'readonly', 'drain'] as const;
export type DeviceStatus = (typeof deviceStatuses)[number];

export type ObservedHostState = 'reachable' | 'unreachable' | 'unknown';
export type ObservedDeviceState = 'writeable' | 'readable' | 'unreachable' | 'unknown';

export interface Host {
  hostid: number;
  hostname: string;
  status: HostStatus;
  hostip: string;
  httpPort: number;
  /** Port for reads where it differs from `httpPort`. */
  httpGetPort: number | null;
  altip: string | null;
  altmask: string | null;
}

export interface Device {
  devid: number;
  hostid: number;
  status: DeviceStatus;
  weight: number;
  mbTotal: number | null;
  mbUsed: number | null;
  /** Unix seconds of the last usage measurement. */
  mbAsof: number | null;
}

export interface FileClass {
  dmid: number;
  classid: number;
  name: string;
  /** Copies wanted. */
  mindevcount: number;
  hashtype: HashType | null;
  /** Text of the policy as stored, null for the default `MultipleHosts()`. */
  replpolicy: string | null;
}

export interface Domain {
  dmid: number;
  name: string;
  /** By name; the implicit class `default` (classid 0) is always there. */
  classes: ReadonlyMap<string, FileClass>;
}

interface DeviceRules {
  read: boolean;
  write: boolean;
  newFiles: boolean;
  holdsFiles: boolean;
  monitored: boolean;
}

/** The table of spec §4.4. */
export const deviceRules: Readonly<Record<DeviceStatus, DeviceRules>> = {
  alive: { read: true, write: true, newFiles: true, holdsFiles: true, monitored: true },
  drain: { read: true, write: true, newFiles: false, holdsFiles: true, monitored: true },
  readonly: { read: true, write: false, newFiles: false, holdsFiles: true, monitored: true },
  down: { read: false, write: false, newFiles: false, holdsFiles: true, monitored: false },
  dead: { read: false, write: false, newFiles: false, holdsFiles: false, monitored: false },
};

interface HostRules {
  read: boolean;
  write: boolean;
}

/** The table of spec §4.3. */
export const hostRules: Readonly<Record<HostStatus, HostRules>> = {
  alive: { read: true, write: true },
  readonly: { read: true, write: false },
  down: { read: false, write: false },
  dead: { read: false, write: false },
};

/** Share of the device that is free, 0–1; 0 when its usage is unknown (spec §4.4). */
export function freeShare(device: Device): number {
  if (device.mbTotal === null || device.mbUsed === null || device.mbTotal <= 0) return 0;
  return Math.max(0, 1 - device.mbUsed / device.mbTotal);
}
