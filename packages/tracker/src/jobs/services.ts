/** What the jobs work with, and what they share. */
import type { DeviceClient } from '../devices/device-client.ts';
import type { Log } from '../log.ts';
import type { Store } from '../store/store.ts';
import type { Topology } from '../topology/topology.ts';
import type { DeviceSlots } from './replication/device-slots.ts';

export interface JobServices {
  store: Store;
  topology: Topology;
  devices: DeviceClient;
  log: Log;
  /** What the copies of this process share. */
  slots: DeviceSlots;
  /** A number in [0, 1). */
  random: () => number;
}

/** Unix seconds of this machine. What queues go by is the database's clock, never this one. */
export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
