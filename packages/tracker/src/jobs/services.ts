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

/**
 * Unix seconds of this machine. Queue times are compared by the database's clock; a skew between
 * the two only makes a wait that much shorter or longer, as with the original.
 */
export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
