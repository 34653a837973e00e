/**
 * `drain_device`, `evacuate_host`, `drain_stop`, `drain_status`: emptying devices until they can be
 * pulled. Commands of our own, which old clients never send.
 */
import { type Fields, isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { Device, Host } from '../placement/model.ts';
import { type Drain, formatDrains, parseDrains, parseNotes } from '../placement/rebalance/own.ts';
import { parseRebalanceState } from '../placement/rebalance/state.ts';
import { rebalanceField as field, type RebalanceRecords } from '../store/rebalance-store.ts';
import { runningSource } from '../topology/rebalance-view.ts';
import { idOf } from './arguments.ts';
import type { Command } from './command.ts';
import {
  type DeviceUse,
  type PullVerdict,
  pullVerdict,
  replicasMax,
  uploadCounts,
  useOf,
} from './explain/device-use.ts';
import { waitingTexts } from './explain/wait-reasons.ts';
import { movesPerSecond, waitingFields } from './rebalance.ts';
import type { CommandServices } from './services.ts';

/** So many replicas are looked at one by one, to say why they stay. */
const lastReplicas = 1_000;

export function drainCommands(services: CommandServices): Record<string, Command> {
  return {
    drain_device: async ({ args }) => begin(services, [await deviceOf(services, args)]),
    evacuate_host: async ({ args }) => begin(services, await devicesOfHost(services, args)),
    drain_stop: async ({ args }) => {
      const isHost = isTrue(args.host) && !isTrue(args.device);
      const devices = isHost
        ? await devicesOfHost(services, args)
        : [await deviceOf(services, args)];
      return end(
        services,
        devices.map(({ devid }) => devid),
      );
    },
    drain_status: ({ args }) => status(services, args),
  };
}

/** `device`, a devid. @throws BAD_PARAMS, NO_DEVICE. */
async function deviceOf({ topology, refresh }: CommandServices, args: Fields): Promise<Device> {
  const devid = idOf(args.device);
  if (devid === undefined || devid === 0) throw new OmgfsError('BAD_PARAMS');
  // It may have been created through another tracker just now.
  if (topology.device(devid) === undefined) await refresh();
  const device = topology.device(devid);
  if (device === undefined) throw new OmgfsError('NO_DEVICE');
  return device;
}

/** `host`, its name. @throws BAD_PARAMS, UNKNOWN_HOST, NO_DEVICE when it has none to empty. */
async function devicesOfHost(services: CommandServices, args: Fields): Promise<Device[]> {
  if (!isTrue(args.host)) throw new OmgfsError('BAD_PARAMS');
  await services.refresh();
  const { hostid } = await hostOf(services, args);
  const devices = [...services.topology.devices()].filter((device) => device.hostid === hostid);
  const living = devices.filter(({ status }) => status !== 'dead');
  if (living.length === 0) throw new OmgfsError('NO_DEVICE');
  return living;
}

/** @throws UNKNOWN_HOST. */
async function hostOf({ topology, refresh }: CommandServices, args: Fields): Promise<Host> {
  const name = args.host ?? '';
  // It may have been created through another tracker just now.
  if (topology.hostByName(name) === undefined) await refresh();
  const host = topology.hostByName(name);
  if (host === undefined) throw new OmgfsError('UNKNOWN_HOST');
  return host;
}

/** Devices that are drained already stay so. @throws BAD_PARAMS for a dead one. */
async function begin(services: CommandServices, devices: readonly Device[]): Promise<ReplyFields> {
  const { store, wakeRebalance, refresh } = services;
  const held = new Map<number, number>();
  for (const { devid } of devices) {
    held.set(devid, await store.rebalance.countOn(devid, replicasMax));
  }
  await change(services, (records) => {
    // One that a change of its state has ended begins anew.
    const drains = parseDrains(records.settings.get(field.drains)).filter(({ devid }) => {
      return !held.has(devid) || records.statuses.get(devid) === 'drain';
    });
    const fresh = devices.flatMap(({ devid }): Drain[] => {
      if (drains.some((drain) => drain.devid === devid)) return [];
      const was = statusBefore(records, devid);
      if (was === undefined || was === 'dead') {
        const message = `dev${devid} is dead or unknown; there is nothing to drain.`;
        throw new OmgfsError('BAD_PARAMS', { message });
      }
      const replicas = held.get(devid) ?? 0;
      return [{ devid, started: records.now, replicas, was, lastFid: 0, scanned: 0 }];
    });
    return {
      drains: [...drains, ...fresh],
      statuses: fresh.map(({ devid }) => {
        return { devid, from: records.statuses.get(devid) ?? 'alive', to: 'drain' };
      }),
    };
  });
  await refresh();
  wakeRebalance();
  return { devices: devices.map(({ devid }) => devid).join(',') };
}

/** The state that an operator gave the device; a run of rebalance may have set it to drain. */
function statusBefore(records: RebalanceRecords, devid: number): Device['status'] | undefined {
  const { timeStarted } = parseRebalanceState(records.settings.get(field.state) ?? '');
  const { marked, was } = parseNotes(records.settings.get(field.own), timeStarted);
  return marked === devid ? was : records.statuses.get(devid);
}

/** Gives devices the state they had. Those that are not drained are left alone. */
async function end(services: CommandServices, devids: readonly number[]): Promise<ReplyFields> {
  const ended: number[] = [];
  await change(services, (records) => {
    const drains = parseDrains(records.settings.get(field.drains));
    const source = runningSource(records);
    const ending = drains.filter(({ devid }) => devids.includes(devid));
    ended.splice(0, ended.length, ...ending.map(({ devid }) => devid));
    return {
      drains: drains.filter((drain) => !ending.includes(drain)),
      statuses: ending.map(({ devid, was }) => ({ devid, from: 'drain', to: was })),
      dropped: ended.filter((devid) => devid !== source),
    };
  });
  await services.refresh();
  return { devices: ended.join(',') };
}

type Statuses = NonNullable<
  Parameters<CommandServices['store']['rebalance']['change']>[0]['statuses']
>;

/** @throws DB_BUSY when others keep changing the list. */
async function change(
  { store }: CommandServices,
  decide: (records: RebalanceRecords) => {
    drains: Drain[];
    statuses: Statuses;
    dropped?: readonly number[];
  },
): Promise<void> {
  for (let attempt = 0; attempt < 5; attempt += 1) {
    const records = await store.rebalance.records();
    const { drains, ...more } = decide(records);
    const done = await store.rebalance.change({
      expect: { [field.drains]: records.settings.get(field.drains) },
      settings: { [field.drains]: formatDrains(drains) },
      ...more,
    });
    if (done) return;
  }
  throw new OmgfsError('DB_BUSY');
}

/** All drained devices, or the one of `device`, or those of `host`. */
async function status(services: CommandServices, args: Fields): Promise<ReplyFields> {
  const { store, topology } = services;
  const records = await store.rebalance.records();
  const devid = isTrue(args.device) ? (await deviceOf(services, args)).devid : undefined;
  const host = isTrue(args.host) ? await hostOf(services, args) : undefined;
  const uploadsOn = await uploadCounts(services);
  const all = parseDrains(records.settings.get(field.drains));
  const drains = all.filter((drain) => {
    if (devid !== undefined) return drain.devid === devid;
    return host === undefined || topology.device(drain.devid)?.hostid === host.hostid;
  });
  const fields: ReplyFields = { devices: drains.length };
  for (const [index, drain] of drains.entries()) {
    const use = await useOf(services, drain.devid, uploadsOn);
    const one = await describe(services, { records, drain, shared: all.length, use });
    for (const [name, value] of Object.entries(one)) fields[`dev${index + 1}_${name}`] = value;
  }
  return fields;
}

async function describe(
  services: CommandServices,
  request: { records: RebalanceRecords; drain: Drain; shared: number; use: DeviceUse },
): Promise<ReplyFields> {
  const { store, topology } = services;
  const { records, drain, shared, use } = request;
  const { devid, started } = drain;
  const { replicas, uploads } = use;
  const { queued, waiting } = use.moves;
  // Moves are taken in turn, so each of the devices that are emptied gets its share.
  const perSecond = (await movesPerSecond(services, { queued, waiting })) / shared;
  const status = records.statuses.get(devid);
  const pull = pullVerdict(services, { devid, status }, use);
  const deleted = queued === 0 ? await countDeleted(store, devid, replicas) : 0;
  return {
    devid,
    host: topology.host(topology.device(devid)?.hostid ?? 0)?.hostname ?? '',
    started,
    replicas_at_start: drain.replicas,
    replicas,
    moves_queued: queued,
    open_uploads: uploads,
    eta_seconds: replicas === 0 ? 0 : perSecond === 0 ? '' : Math.ceil(replicas / perSecond),
    safe: pull === 'now' ? 1 : 0,
    message: sentence({ pull, isDrain: status === 'drain', deleted, use }),
    ...waitingFields(waiting),
  };
}

/** Of the last replicas on a device, those that nobody moves because their files are deleted. */
async function countDeleted(
  { rebalance }: CommandServices['store'],
  devid: number,
  replicas: number,
): Promise<number> {
  if (replicas === 0 || replicas > lastReplicas) return 0;
  const request = { devid, after: 0, limit: lastReplicas, newestFirst: false };
  return (await rebalance.filesOn(request)).filter(({ isFile }) => !isFile).length;
}

function sentence(seen: {
  pull: PullVerdict;
  isDrain: boolean;
  deleted: number;
  use: DeviceUse;
}): string {
  const { pull, isDrain, deleted, use } = seen;
  if (pull === 'now') return 'empty; it is safe to mark it dead and pull it';
  if (pull === 'soon') return 'empty; safe in a few seconds, when every tracker knows its state';
  if (!isDrain) return 'its state was changed; it is not drained any more';
  const { replicas, uploads } = use;
  const { waiting } = use.moves;
  const parts = [`${replicas} replicas are left`, ...waitingTexts(waiting)];
  if (deleted > 0) parts.push(`${deleted} are of deleted files and wait for their deletion`);
  if (uploads > 0) parts.push(`${uploads} open uploads may still end here`);
  return parts.join('; ');
}
