/** What the system thinks of one device, in sentences. */
import { deviceRules, hostRules } from '../../placement/model.ts';
import type { Topology } from '../../topology/topology.ts';

/** Half a sentence: where it is, and whether it can be read and written, with the reason. */
export function describeDevice(topology: Topology, devid: number): string {
  const device = topology.device(devid);
  if (device === undefined) return 'the database does not know this device';
  const host = topology.host(device.hostid);
  if (host === undefined) return `it belongs to host ${device.hostid}, which does not exist`;
  const where = `${device.status} on ${host.hostname} (${host.hostip}, ${host.status})`;
  const obstacle = readObstacle(topology, devid);
  return obstacle === undefined ? `${where}, can be read` : `${where}, cannot be read: ${obstacle}`;
}

/** Paragraph about a device. */
export function explainDevice(topology: Topology, devid: number, replicas: number): string[] {
  const device = topology.device(devid);
  if (device === undefined) return [`There is no device ${devid}.`];
  const lines = [`dev${devid} is ${describeDevice(topology, devid)}.`];
  const { mbTotal, mbUsed, weight } = device;
  lines.push(
    mbTotal === null || mbUsed === null
      ? 'Nobody knows yet how full it is.'
      : `It has ${mbTotal - mbUsed} of ${mbTotal} MiB free and the weight ${weight}.`,
  );
  const { utilization } = topology.observedDevice(devid);
  if (utilization !== undefined) lines.push(`Its disk is busy for ${utilization} % of the time.`);
  const obstacle = writeObstacle(topology, devid);
  lines.push(
    obstacle === undefined ? 'It gets new files.' : `It gets no new files: ${obstacle}.`,
    `The database knows ${replicas} replicas on it.`,
  );
  if (device.status === 'dead' && replicas > 0) {
    lines.push('They are forgotten step by step and made anew from the other copies.');
  }
  if (device.status === 'drain' && replicas > 0) {
    lines.push('A drain or a rebalance moves them away; until then they are read here.');
  }
  if (replicas === 0) lines.push('Nothing depends on it: it can be pulled.');
  return lines;
}

function readObstacle(topology: Topology, devid: number): string | undefined {
  const device = topology.device(devid);
  const host = device && topology.host(device.hostid);
  if (device === undefined || host === undefined) return 'it is unknown';
  if (!hostRules[host.status].read) return `its host is marked ${host.status}`;
  if (!deviceRules[device.status].read) return `it is marked ${device.status}`;
  if (topology.observedHost(host.hostid) !== 'reachable') return 'its host does not answer';
  if (!topology.isReadable(devid)) return 'the monitor cannot read it';
  return undefined;
}

function writeObstacle(topology: Topology, devid: number): string | undefined {
  const unreadable = readObstacle(topology, devid);
  if (unreadable !== undefined) return unreadable;
  const device = topology.device(devid);
  const host = device && topology.host(device.hostid);
  if (device === undefined || host === undefined) return 'it is unknown';
  if (!hostRules[host.status].write) return `its host is marked ${host.status}`;
  if (!deviceRules[device.status].newFiles) return `it is marked ${device.status}`;
  if (topology.observedDevice(devid).state !== 'writeable') return 'the write test failed';
  if (!topology.getsNewFiles(devid)) return 'it has less free space than min_free_space';
  return device.weight === 0 ? 'its weight is 0' : undefined;
}
