/** What the system thinks of one device, in sentences. */
import { deviceRules, hostRules } from '../../placement/model.ts';
import type { MoveCounts } from '../../store/rebalance-store.ts';
import type { Topology } from '../../topology/topology.ts';
import { moveReasonTexts } from './wait-reasons.ts';

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

/** What the database knows of a device beyond its row. */
export interface DeviceLoad {
  replicas: number;
  /** Moves away from it that are queued. */
  moves: MoveCounts;
  /** Checks of fsck that wait until it can be asked. */
  checks: number;
  /** Open uploads that may end on it. */
  uploads: number;
}

/** Paragraph about a device. */
export function explainDevice(topology: Topology, devid: number, load: DeviceLoad): string[] {
  const { replicas, uploads } = load;
  const device = topology.device(devid);
  if (device === undefined) {
    const unknown = `There is no device ${devid}.`;
    if (replicas === 0) return [unknown];
    const advice = 'a fsck forgets them and has them made anew from the other copies';
    return [unknown, `The database knows ${replicas} replicas on it all the same; ${advice}.`];
  }
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
  lines.push(...waitingLines(load));
  if (replicas > 0 || load.moves.queued > 0 || uploads > 0) return lines;
  lines.push(
    obstacle === undefined
      ? 'Nothing depends on it now, but it gets new files: drain it before it is pulled.'
      : 'Nothing depends on it: it can be pulled.',
  );
  return lines;
}

function waitingLines({ moves, checks, uploads }: DeviceLoad): string[] {
  const lines: string[] = [];
  if (moves.queued > 0) lines.push(`${moves.queued} moves of files away from it are queued.`);
  for (const { reason, count } of moves.waiting) {
    lines.push(`${count} of them wait: ${moveReasonTexts[reason]}.`);
  }
  if (checks > 0) lines.push(`${checks} checks of fsck wait until it can be asked.`);
  if (uploads > 0) lines.push(`${uploads} open uploads may end on it.`);
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
