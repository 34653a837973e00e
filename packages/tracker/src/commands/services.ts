/** What commands work with; put together by the tracker. */

import type { DeviceClient } from '../devices/device-client.ts';
import type { SignUrl } from '../devices/signing.ts';
import type { PolicyAnswer } from '../placement/contract.ts';
import type { Lookups } from '../store/replicas/lookups.ts';
import type { FileWithReplicas, Store } from '../store/store.ts';
import type { Topology } from '../topology/topology.ts';

export interface CommandServices {
  store: Store;
  /** Looks up files for readers, perhaps in a replica database. */
  lookups: Lookups;
  topology: Topology;
  devices: DeviceClient;
  /** Re-reads the database and sweeps the devices: the barrier of admin commands (spec §2). */
  refresh: () => Promise<void>;
  /** Re-reads the database only. */
  reload: () => Promise<void>;
  /** Resolves after the next sweep of the monitor. */
  nextSweep: () => Promise<void>;
  /** Tells the replicator that a file waits. */
  wakeReplicate: () => void;
  /** Tells the delete job that a file waits. */
  wakeDelete: () => void;
  /** Tells fsck that a run was started, or stopped. */
  wakeFsck: () => void;
  /** Tells rebalance that it was started, or stopped, or a device is to be emptied. */
  wakeRebalance: () => void;
  /** Name of this tracker as `fsck_host` and `rebal_host` keep it. */
  hostname: string;
  /** Copies a replica from a device to another, verifies it there and records it. */
  copyReplica: (request: {
    file: FileWithReplicas;
    source: number;
    target: number;
  }) => Promise<{ state: 'copied' } | { state: 'source_failed' | 'target_failed'; reason: string }>;
  /** What the policy of its class says of a file now. */
  verdictOn: (file: FileWithReplicas) => PolicyAnswer;
  /** Makes a URL good for storage nodes that want signed ones. */
  signUrl: SignUrl;
  /** How long an upload in parts is kept after the last of them, in seconds. */
  resumeSeconds: number;
  /** Age from which an unclosed upload is given up, in seconds. */
  tempfileAgeSeconds: number;
  /** Until every tracker knows what an operator has changed, in seconds. */
  settleSeconds: number;
  /** A number in [0, 1). */
  random: () => number;
}
