/** `get_devices`, `create_device`, `set_state`, `set_weight` (spec §2.2). */
import { type Fields, isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import { type Device, deviceStatuses, type Host } from '../placement/model.ts';
import type { Topology } from '../topology/topology.ts';
import { idOf } from './arguments.ts';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';

/** Of their columns, a MEDIUMINT each, that of the device without a sign. */
const weightMax = 8_388_607;
const devidMax = 16_777_215;

export function deviceCommands(services: CommandServices): Record<string, Command> {
  const { store, topology, refresh } = services;
  return {
    get_devices: ({ args }) => {
      const fields: ReplyFields = { devices: 0 };
      let count = 0;
      for (const device of topology.devices()) {
        if (isTrue(args.devid) && String(device.devid) !== args.devid) continue;
        count += 1;
        addDevice(fields, { prefix: `dev${count}_`, topology, device });
      }
      fields.devices = count;
      return fields;
    },
    create_device: createDevice(services),
    set_state: async ({ args }) => {
      const status = deviceStatuses.find((name) => name === args.state);
      if (!isTrue(args.host) || status === undefined) throw new OmgfsError('BAD_PARAMS');
      const device = deviceOn(topology, args);
      if (device.status === 'dead' && status === 'alive') throw new OmgfsError('STATE_TOO_HIGH');
      await store.setDeviceStatus({ devid: device.devid, status });
      await refresh();
      return {};
    },
    set_weight: async ({ args }) => {
      const weight = args.weight === undefined || args.weight === '' ? 0 : idOf(args.weight);
      if (!isTrue(args.host) || weight === undefined) throw new OmgfsError('BAD_PARAMS');
      if (weight > weightMax) {
        const message = `weight ${weight} is above ${weightMax}.`;
        throw new OmgfsError('BAD_PARAMS', { message });
      }
      const { devid } = deviceOn(topology, args);
      await store.setDeviceWeight({ devid, weight });
      await refresh();
      return {};
    },
  };
}

function createDevice({ store, topology, refresh }: CommandServices): Command {
  return async ({ args }) => {
    const state = args.state === undefined || args.state === '' ? 'alive' : args.state;
    const status = deviceStatuses.find((name) => name === state);
    if (status === undefined) throw new OmgfsError('INVALID_STATE');
    const devid = idOf(args.devid);
    if (devid === undefined || devid === 0) throw new OmgfsError('INVALID_DEVID');
    if (devid > devidMax) {
      const message = `devid ${devid} is above ${devidMax}.`;
      throw new OmgfsError('INVALID_DEVID', { message, wireText: message });
    }
    const { hostid } = hostOf(topology, args);
    await store.createDevice({ devid, hostid, status });
    await refresh();
    return {};
  };
}

/** A numeric `hostid` wins over `hostname`. @throws UNKNOWN_HOSTID, UNKNOWN_HOST, BAD_ARGS. */
function hostOf(topology: Topology, args: Fields): Host {
  const hostid = idOf(args.hostid);
  if (hostid !== undefined && hostid !== 0) {
    const host = topology.host(hostid);
    if (host === undefined) throw new OmgfsError('UNKNOWN_HOSTID');
    return host;
  }
  if (!isTrue(args.hostname)) throw new OmgfsError('BAD_ARGS');
  const host = topology.hostByName(args.hostname ?? '');
  if (host === undefined) throw new OmgfsError('UNKNOWN_HOST');
  return host;
}

/** The device of `device`, which must be on the host of `host`. */
function deviceOn(topology: Topology, args: Fields): Device {
  const devid = idOf(args.device);
  if (devid === undefined) throw new OmgfsError('BAD_PARAMS');
  const device = topology.device(devid);
  if (device === undefined) throw new OmgfsError('NO_DEVICE');
  if (topology.host(device.hostid)?.hostname !== args.host) throw new OmgfsError('HOST_MISMATCH');
  return device;
}

function addDevice(
  fields: ReplyFields,
  { prefix, topology, device }: { prefix: string; topology: Topology; device: Device },
): void {
  const { state, utilization, rejectBadMd5 } = topology.observedDevice(device.devid);
  const free =
    device.mbTotal === null || device.mbUsed === null ? null : device.mbTotal - device.mbUsed;
  fields[`${prefix}devid`] = device.devid;
  fields[`${prefix}hostid`] = device.hostid;
  fields[`${prefix}status`] = device.status;
  fields[`${prefix}weight`] = device.weight;
  fields[`${prefix}mb_total`] = device.mbTotal;
  fields[`${prefix}mb_used`] = device.mbUsed;
  fields[`${prefix}mb_free`] = free;
  fields[`${prefix}mb_asof`] = device.mbAsof;
  fields[`${prefix}observed_state`] = state === 'unknown' ? '' : state;
  fields[`${prefix}utilization`] = utilization;
  fields[`${prefix}reject_bad_md5`] = rejectBadMd5 === undefined ? null : Number(rejectBadMd5);
}
