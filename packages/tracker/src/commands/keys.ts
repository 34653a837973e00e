/**
 * Commands that change what a key stands for: `delete`, `rename`, `updateclass` (spec §2.1), and
 * `rename_prefix`, which is ours.
 */
import { isTrue, limits, OmgfsError } from '@omgfs/protocol';
import { checkKeyLength, domainOf, idOf, keyOf, requiredArg } from './arguments.ts';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';

export function keyCommands(services: CommandServices): Record<string, Command> {
  return {
    delete: deleteKey(services),
    rename: renameKey(services),
    rename_prefix: renamePrefix(services),
    updateclass: updateClass(services),
  };
}

/** With `fid`, an argument of ours, only while the key stands for that file. */
function deleteKey({ store, lookups, topology, wakeDelete }: CommandServices): Command {
  return async ({ args }) => {
    const { dmid } = domainOf(topology, args);
    const dkey = keyOf(args);
    const fid = args.fid === undefined ? undefined : idOf(args.fid);
    if (args.fid !== undefined && fid === undefined) {
      throw new OmgfsError('BAD_PARAMS', { message: 'fid is the file that the key stands for.' });
    }
    lookups.wrote({ dmid, dkey });
    if (!(await store.deleteKey({ dmid, dkey, fid }))) throw new OmgfsError('UNKNOWN_KEY');
    wakeDelete();
    return {};
  };
}

/** With `overwrite`, an argument of ours, a file of the other key goes in the same instant. */
function renameKey({ store, lookups, topology, wakeDelete }: CommandServices): Command {
  return async ({ args }) => {
    const { dmid } = domainOf(topology, args);
    const from = keyOf(args, 'from_key');
    const to = checkKeyLength(keyOf(args, 'to_key'));
    for (const dkey of [from, to]) lookups.wrote({ dmid, dkey });
    const outcome = await store.renameKey({ dmid, from, to, replace: isTrue(args.overwrite) });
    if (outcome === 'unknown_key') throw new OmgfsError('UNKNOWN_KEY');
    if (outcome === 'key_exists') throw new OmgfsError('KEY_EXISTS');
    if (isTrue(args.overwrite)) wakeDelete();
    return {};
  };
}

/**
 * All keys that begin with a prefix, or none: a folder changes its name in one instant. With `free`
 * only while no key begins with the new one, so that two folders never become one.
 */
function renamePrefix({ store, topology }: CommandServices): Command {
  return async ({ args }) => {
    const { dmid } = domainOf(topology, args);
    const from = keyOf(args, 'from_prefix');
    const to = keyOf(args, 'to_prefix');
    if (from.startsWith(to) || to.startsWith(from)) {
      throw new OmgfsError('BAD_PARAMS', { message: 'One prefix must not begin with the other.' });
    }
    const max = limits.renameKeysMax;
    const count = await store.renamePrefix({ dmid, from, to, max, free: isTrue(args.free) });
    if (count === 0) throw new OmgfsError('UNKNOWN_KEY');
    return { count };
  };
}

function updateClass({ store, lookups, topology, wakeReplicate }: CommandServices): Command {
  return async ({ args }) => {
    const domain = domainOf(topology, args);
    const dkey = keyOf(args);
    const fileClass = domain.classes.get(requiredArg(args, 'class', 'NO_CLASS'));
    if (fileClass === undefined) throw new OmgfsError('CLASS_NOT_FOUND');
    const file = await store.findFile({ dmid: domain.dmid, dkey });
    if (file === undefined) throw new OmgfsError('INVALID_KEY');
    if (file.devids.length === 0) throw new OmgfsError('NO_DEVICES');
    if (file.classid !== fileClass.classid) {
      lookups.wrote({ dmid: domain.dmid, dkey });
      await store.changeClass({ fid: file.fid, classid: fileClass.classid });
      wakeReplicate();
    }
    return {};
  };
}
