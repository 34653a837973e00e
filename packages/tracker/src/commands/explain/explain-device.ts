/** What the system thinks of one device, in sentences. */
import { isTrue } from '@omgfs/protocol';
import { deviceRules, hostRules } from '../../placement/model.ts';
import type { Topology } from '../../topology/topology.ts';
import type { CommandServices } from '../services.ts';
import {
  type DeviceUse,
  type PullVerdict,
  pullVerdict,
  replicasMax,
  uploadCounts,
  useOf,
} from './device-use.ts';
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
export interface DeviceLoad extends DeviceUse {
  pull: PullVerdict;
  /** Checks of fsck that wait until it can be asked. */
  checks: number;
  /** How a dead one gets off the books. */
  reaping?: { isPaused: boolean; perSecond: number };
}

export async function deviceLoad(
  services: Pick<CommandServices, 'store' | 'topology' | 'settleSeconds'>,
  devid: number,
): Promise<DeviceLoad> {
  const { store, topology } = services;
  const use = await useOf(services, devid, await uploadCounts(services));
  const checks = await store.fsck.waitingFor(devid);
  // Once in a while an operator may have it counted to the end.
  const isMany = use.replicas >= replicasMax;
  const replicas = isMany ? await store.countReplicas(devid) : use.replicas;
  const { status } = topology.device(devid) ?? { status: undefined };
  const load = { ...use, replicas, checks, pull: pullVerdict(services, { devid, status }, use) };
  const dead = [...topology.devices()].filter(({ status }) => status === 'dead');
  if (replicas === 0 || dead.every((device) => device.devid !== devid)) return load;
  // The reaper takes as much of each that has replicas left.
  const left = await Promise.all(dead.map((device) => store.rebalance.countOn(device.devid, 1)));
  const shares = Math.max(1, left.filter((count) => count > 0).length);
  const rate = (await store.rates.total()).get('reaper') ?? 0;
  const isPaused = isTrue(topology.setting('omg_pause_reaper'));
  return { ...load, reaping: { isPaused, perSecond: rate / shares } };
}

/** Paragraph about a device. */
export function explainDevice(topology: Topology, devid: number, load: DeviceLoad): string[] {
  const { replicas } = load;
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
    lines.push(reapingLine(replicas, load.reaping));
  }
  if (device.status === 'drain' && replicas > 0) {
    lines.push('A drain or a rebalance moves them away; until then they are read here.');
  }
  lines.push(...waitingLines(load), ...pullLines(load, obstacle === undefined));
  return lines;
}

function pullLines({ pull }: DeviceLoad, getsFiles: boolean): string[] {
  const but = getsFiles ? 'it gets new files' : 'it may get new files again';
  return {
    in_use: [],
    not_yet: [`Nothing depends on it now, but ${but}: drain it before it is pulled.`],
    soon: [
      'Nothing depends on it: it can be pulled in a few seconds, when every tracker knows ' +
        'that it gets no new files.',
    ],
    now: ['Nothing depends on it: it can be pulled.'],
  }[pull];
}

function reapingLine(replicas: number, reaping: DeviceLoad['reaping']): string {
  const what = 'forgotten step by step and made anew from the other copies';
  if (reaping?.isPaused) return `They are to be ${what}, but the reaper is paused.`;
  const { perSecond = 0 } = reaping ?? {};
  if (perSecond === 0) return `They are ${what}; nobody can tell yet how fast.`;
  const rate = perSecond.toFixed(perSecond < 10 ? 1 : 0);
  return `They are ${what}, ${rate} a second: ${roughly(replicas / perSecond)} more.`;
}

function roughly(seconds: number): string {
  if (seconds < 120) return `${Math.ceil(seconds)} seconds`;
  if (seconds < 7200) return `${Math.ceil(seconds / 60)} minutes`;
  return `${Math.ceil(seconds / 3600)} hours`;
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
