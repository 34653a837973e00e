/** Puts what is known of a file before the policy of its class. */
import type { PolicyAnswer, PolicyDevice } from '../../placement/contract.ts';
import { type Device, freeShare } from '../../placement/model.ts';
import { askPolicy } from '../../placement/policy.ts';
import type { FileWithReplicas } from '../../store/store.ts';
import type { Topology } from '../../topology/topology.ts';
import type { JobServices } from '../services.ts';

/**
 * What the policy says of a file. Devices that are dead or unknown hold nothing; `holding` replaces
 * the devices that the database names. `emptied` is a device whose replica is to be moved away: it
 * takes nothing, and its host counts as a place for copies as it did before.
 */
export function askAbout(
  { topology, random }: Pick<JobServices, 'topology' | 'random'>,
  file: FileWithReplicas,
  options: {
    failed?: ReadonlySet<number>;
    holding?: readonly number[];
    emptied?: number | undefined;
  } = {},
): PolicyAnswer {
  const { emptied } = options;
  const known = policyDevices(topology);
  const devices =
    emptied === undefined
      ? known
      : known.map((device) =>
          device.devid === emptied ? { ...device, alive: true, takesFiles: false } : device,
        );
  const holding = new Set(options.holding ?? file.devids);
  return askPolicy(topology.classOf(file.dmid, file.classid), {
    holding: devices.filter(({ devid, dead }) => holding.has(devid) && !dead),
    devices,
    failed: options.failed ?? new Set(),
    random,
  });
}

const lastSeen = new WeakMap<Topology, { version: number; devices: readonly PolicyDevice[] }>();

/** All devices as policies see them; the same for every file until the topology changes. */
function policyDevices(topology: Topology): readonly PolicyDevice[] {
  const { version } = topology;
  const last = lastSeen.get(topology);
  if (last?.version === version) return last.devices;
  const devices = [...topology.devices()].map((device) => policyDevice(topology, device));
  lastSeen.set(topology, { version, devices });
  return devices;
}

function policyDevice(topology: Topology, device: Device): PolicyDevice {
  return {
    devid: device.devid,
    hostid: device.hostid,
    network: topology.networkOf(device.hostid),
    weight: device.weight,
    freeShare: freeShare(device),
    alive: device.status === 'alive' && !topology.isLost(device.devid),
    dead: device.status === 'dead' || topology.isLost(device.devid),
    takesFiles: topology.getsNewFiles(device.devid),
  };
}
