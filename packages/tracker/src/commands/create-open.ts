/** `create_open` (spec §2.1): hands out a fid and the places to upload its bytes to. */
import { type Fields, isTrue, limits, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import { chooseDestinations } from '../placement/choose.ts';
import { type Domain, freeShare } from '../placement/model.ts';
import type { Topology } from '../topology/topology.ts';
import { checkKeyLength, domainOf, numberOf } from './arguments.ts';
import type { Command } from './command.ts';
import type { OpenUploads } from './open-uploads.ts';
import { Profile } from './profile.ts';
import type { CommandServices } from './services.ts';

export function createOpen(services: CommandServices, opened: OpenUploads): Command {
  const { store, topology, devices, signUrl, random } = services;
  return async ({ args, address }) => {
    const profile = isTrue(args.debug_profile) ? new Profile() : undefined;
    profile?.reached('begin');
    const domain = domainOf(topology, args);
    const dkey = checkKeyLength(args.key ?? '');
    const classid = classidOf(domain, args);
    const multiple = isTrue(args.multi_dest);
    const devids = chooseNear(topology, address, {
      count: multiple ? limits.openDestinationsMax : 1,
      sizeBytes: Math.max(0, numberOf(args.size)),
      random,
    });
    if (devids.length === 0) throw new OmgfsError('NO_DEVICES');
    profile?.reached('devices');
    const fid = await store.openTempfile({
      dmid: domain.dmid,
      dkey,
      classid,
      devids,
      ...explicitFid(args),
    });
    opened.add(fid, { classid, devids });
    profile?.reached('tempfile');
    await Promise.all(
      devids.map(async (devid) => {
        const url = topology.writeUrl({ devid, fid });
        if (url !== undefined) await devices.makeDirectories(url);
      }),
    );
    profile?.reached('directories');
    const client = { address, zone: args.zone };
    const paths = devids.map((devid) => {
      const url = topology.writeUrl({ devid, fid }, client);
      return url === undefined ? undefined : signUrl('PUT', url);
    });
    const places = multiple
      ? manyPlaces({ fid, devids, paths })
      : { fid, devid: devids[0], path: paths[0] };
    if (profile !== undefined) Object.assign(places, profile.fields());
    if (!isTrue(args.want_class)) return places;
    // Told only to who asks: clients of MogileFS know no such fields.
    const { hashtype, mindevcount } = topology.classOf(domain.dmid, classid);
    return { ...places, hashtype, mindevcount };
  };
}

/**
 * The class for new files. `default` is refused as the original refuses it: clients send an empty
 * class instead (spec §2.1 QUIRK).
 */
function classidOf(domain: Domain, args: Fields): number {
  if (!isTrue(args.class)) return 0;
  const classid = domain.classes.get(args.class ?? '')?.classid ?? 0;
  if (classid === 0) throw new OmgfsError('UNREG_CLASS');
  return classid;
}

function explicitFid(args: Fields): { fid?: number } {
  if (!isTrue(args.fid)) return {};
  const fid = Math.trunc(numberOf(args.fid));
  // What no fid can be is taken, in the words of the protocol.
  if (fid > limits.fidMax) throw new OmgfsError('FID_IN_USE');
  return fid < 1 ? {} : { fid };
}

/** Devices in the zone of the client come first, in the order of all others (spec §6.7). */
function chooseNear(
  topology: Topology,
  address: string,
  options: Parameters<typeof chooseDestinations>[1],
): number[] {
  const all = candidates(topology);
  const near = new Set(
    topology.nearOnly(
      all.map(({ devid }) => devid),
      address,
    ),
  );
  const chosen = chooseDestinations(
    all.filter(({ devid }) => near.has(devid)),
    options,
  );
  const count = options.count - chosen.length;
  if (count === 0 || near.size === all.length) return chosen;
  const others = all.filter(({ devid }) => !near.has(devid));
  return [...chosen, ...chooseDestinations(others, { ...options, count })];
}

function candidates(topology: Topology) {
  return [...topology.devices()]
    .filter(({ devid }) => topology.getsNewFiles(devid))
    .map((device) => ({ ...device, freeShare: freeShare(device) }));
}

function manyPlaces(open: {
  fid: number;
  devids: readonly number[];
  paths: readonly (string | undefined)[];
}): ReplyFields {
  const fields: ReplyFields = { fid: open.fid, dev_count: open.devids.length };
  for (const [index, devid] of open.devids.entries()) {
    fields[`devid_${index + 1}`] = devid;
    fields[`path_${index + 1}`] = open.paths[index];
  }
  return fields;
}
