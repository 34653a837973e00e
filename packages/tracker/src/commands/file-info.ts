/** `file_info` (spec §2.1): what the database knows of a file, nothing checked on devices. */
import { formatChecksum, isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import { domainOf, keyOf } from './arguments.ts';
import type { Command } from './command.ts';
import { descriptionFields } from './description.ts';
import type { CommandServices } from './services.ts';

export function fileInfo({ store, lookups, topology }: CommandServices): Command {
  return async ({ args }) => {
    const domain = domainOf(topology, args);
    const key = keyOf(args);
    const file = await lookups.findFile({ dmid: domain.dmid, dkey: key });
    if (file === undefined) throw new OmgfsError('UNKNOWN_KEY');
    const fileClass = topology.classOf(file.dmid, file.classid);
    const fields: ReplyFields = {
      fid: file.fid,
      domain: domain.name,
      class: fileClass.name,
      key: file.dkey,
      length: file.length,
      devcount: file.devcount,
    };
    if (fileClass.hashtype !== null) {
      const checksum = await store.findChecksum(file.fid);
      fields.checksum = checksum === undefined ? 'MISSING' : formatChecksum(checksum);
    }
    if (isTrue(args.devices)) fields.devids = file.devids.join(',');
    if (!isTrue(args.described)) return fields;
    const described = await store.descriptions.of([file.fid]);
    return { ...fields, ...descriptionFields(described.get(file.fid)) };
  };
}
