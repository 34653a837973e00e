/**
 * `get_paths` (spec §2.1, §5.7): where a file can be read, best place first. Unless the client says
 * `noverify`, paths are checked on their devices until one is good.
 */
import { isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import { orderPaths } from '../placement/order-paths.ts';
import type { FileWithReplicas } from '../store/store.ts';
import type { Topology } from '../topology/topology.ts';
import { domainOf, integerOf, keyOf } from './arguments.ts';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';

/** Fewer paths than this are never asked for, whatever the client says. */
const pathCountMin = 2;

export function getPaths(services: CommandServices): Command {
  const { lookups, topology, devices, signUrl, random } = services;
  return async ({ args, address }) => {
    const { dmid } = domainOf(topology, args);
    const dkey = keyOf(args);
    const file = await lookups.findFile({ dmid, dkey });
    if (file === undefined) throw new OmgfsError('UNKNOWN_KEY');
    const count = Math.max(pathCountMin, integerOf(args.pathcount));
    const client = { address, zone: args.zone };
    const devids = orderedDevids(topology, file, random);
    const readable = topology.nearFirst(devids.readable, address);
    const good = isTrue(args.noverify)
      ? readable
      : await dropUntilVerified({ devices, topology, file }, readable);
    // A path that cannot be read now is better than none.
    const chosen = good.length > 0 ? good.slice(0, count) : devids.unreadable.slice(-1);
    const paths: string[] = [];
    for (const devid of chosen) {
      const url = topology.readUrl({ devid, fid: file.fid }, client);
      if (url !== undefined) paths.push(signUrl('GET', url));
    }
    return pathFields(paths);
  };
}

/** Readable devices in the order to try them; then those that are only a last resort. */
function orderedDevids(topology: Topology, file: FileWithReplicas, random: () => number) {
  const readable = [];
  const unreadable: number[] = [];
  for (const devid of file.devids) {
    const device = topology.device(devid);
    if (device === undefined) continue;
    if (!topology.isReadable(devid)) {
      unreadable.push(devid);
      continue;
    }
    const { utilization } = topology.observedDevice(devid);
    readable.push({
      devid,
      weight: device.weight,
      draining: device.status === 'drain',
      utilization,
    });
  }
  return { readable: orderPaths(readable, { random }), unreadable };
}

/**
 * Checks devices in order until one holds the file with its right length; the bad ones before it
 * are dropped, the ones after it are trusted (spec §5.7).
 */
async function dropUntilVerified(
  place: Pick<CommandServices, 'devices' | 'topology'> & { file: FileWithReplicas },
  devids: readonly number[],
): Promise<readonly number[]> {
  const { devices, topology, file } = place;
  for (const [index, devid] of devids.entries()) {
    const url = topology.readUrl({ devid, fid: file.fid });
    if (url === undefined) continue;
    const size = await devices.size(url);
    if (size.state === 'present' && size.bytes === file.length) return devids.slice(index);
  }
  return [];
}

/** A name that is made anew each time is looked up among all names of the process each time. */
const pathNames: readonly string[] = Array.from({ length: 16 }, (_, index) => `path${index + 1}`);

function pathName(index: number): string {
  return pathNames[index] ?? `path${index + 1}`;
}

/** No path at all is a success with `paths=0`. */
function pathFields(paths: readonly string[]): ReplyFields {
  const fields: ReplyFields = { paths: paths.length };
  for (const [index, path] of paths.entries()) fields[pathName(index)] = path;
  return fields;
}
