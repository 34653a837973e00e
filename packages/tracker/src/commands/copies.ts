/** Commands that copy bytes while the client waits: `edit_file`, `httpcopy` (spec §2.1, §2.3). */
import { OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { FileWithReplicas } from '../store/store.ts';
import { domainOf, integerOf, keyOf } from './arguments.ts';
import type { Command } from './command.ts';
import type { OpenUploads } from './open-uploads.ts';
import type { CommandServices } from './services.ts';

export function copyCommands(
  services: CommandServices,
  opened: OpenUploads,
): Record<string, Command> {
  return { edit_file: editFile(services, opened), httpcopy: httpCopy(services) };
}

/**
 * Opens an upload that starts with the bytes of a file: the client MOVEs `oldpath` to `newpath`,
 * changes it there and closes it. The original hands out the file's own replica as `oldpath`, so
 * that readers lose it and an abandoned edit loses the file. Here `oldpath` is a copy that belongs
 * to an upload of its own, which the clean-up of abandoned uploads removes (I2, I3).
 */
function editFile(services: CommandServices, opened: OpenUploads): Command {
  const { store, lookups, topology, devices, signUrl } = services;
  return async ({ args, address }): Promise<ReplyFields> => {
    const { dmid } = domainOf(topology, args);
    const dkey = keyOf(args);
    const file = await lookups.findFile({ dmid, dkey });
    if (file === undefined) throw new OmgfsError('UNKNOWN_KEY');
    const { classid } = file;
    const devid = deviceToEditOn(services, file);
    const open = () => store.openTempfile({ dmid, dkey, classid, devids: [devid] });
    const [copyFid, fid] = await Promise.all([open(), open()]);
    const from = topology.readUrl({ devid, fid: file.fid });
    const to = topology.writeUrl({ devid, fid: copyFid });
    const target = topology.writeUrl({ devid, fid });
    if (from === undefined || to === undefined || target === undefined) {
      throw new OmgfsError('NO_DEVICES');
    }
    await Promise.all([to, target].map((url) => devices.makeDirectories(url)));
    const copied = await devices.copy({ from, to, length: file.length });
    if (copied.state !== 'copied') {
      const message = `edit_file: copying fid ${file.fid} on device ${devid}: ${copied.reason}`;
      throw new OmgfsError('FAILURE', { message });
    }
    opened.add(fid, { classid, devids: [devid] });
    const client = { address, zone: args.zone };
    const urlOf = (place: number) => topology.writeUrl({ devid, fid: place }, client) ?? '';
    return {
      oldpath: signUrl('MOVE', urlOf(copyFid)),
      newpath: signUrl('PUT', urlOf(fid)),
      fid,
      devid,
      class: classid,
    };
  };
}

/** A device that can be read and takes new files. @throws NO_DEVICES. */
function deviceToEditOn({ topology }: CommandServices, file: FileWithReplicas): number {
  const devid = file.devids.find((id) => topology.isReadable(id) && topology.getsNewFiles(id));
  if (devid === undefined) throw new OmgfsError('NO_DEVICES');
  return devid;
}

/** Copies one replica to another device, verifies it there and records it. */
function httpCopy({ store, copyReplica }: CommandServices): Command {
  return async ({ args }) => {
    const [fid, source, target] = ['fid', 'sdevid', 'ddevid'].map((name) => integerOf(args[name]));
    if (!fid || !source || !target) {
      const message = 'httpcopy needs fid, sdevid and ddevid';
      throw new OmgfsError('BAD_REQUEST', { message, wireText: message });
    }
    const [file] = await store.filesByFid([fid]);
    if (file === undefined) throw new OmgfsError('COPY_ERR', { wireText: 'src_error' });
    const outcome = await copyReplica({ file, source, target });
    if (outcome.state === 'copied') return {};
    const wireText = outcome.state === 'source_failed' ? 'src_error' : 'dest_error';
    throw new OmgfsError('COPY_ERR', { wireText });
  };
}
