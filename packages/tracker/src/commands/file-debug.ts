/** `file_debug` (spec §2.1): every row about a fid and where its replicas should be. */
import { type Fields, formatChecksum, isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { FidRecords } from '../store/store.ts';
import type { Topology } from '../topology/topology.ts';
import { domainOf, integerOf, keyOf } from './arguments.ts';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';

export function fileDebug({ store, topology, signUrl }: CommandServices): Command {
  return async ({ args, address }) => {
    const fid = await fidOf(args);
    const records = await store.fidRecords(fid);
    const fields: ReplyFields = {
      ...fileFields(topology, records.file),
      ...tempfileFields(records.tempfile),
      ...prefixed('replqueue', records.replication),
      ...prefixed('delqueue', records.deletion),
      ...prefixed('rebqueue', records.rebalance),
      ...prefixed('fsckqueue', records.fsck),
      checksum: records.checksum === undefined ? 'NONE' : formatChecksum(records.checksum),
    };
    if (records.devids.length > 0) fields.devids = records.devids.join(',');
    for (const devid of records.devids) {
      const url = topology.readUrl({ devid, fid }, { address, zone: args.zone });
      if (url !== undefined) fields[`devpath_${devid}`] = signUrl('GET', url);
    }
    return fields;
  };

  async function fidOf(args: Fields): Promise<number> {
    if (isTrue(args.fid)) return integerOf(args.fid);
    const { dmid } = domainOf(topology, args);
    const file = await store.findFile({ dmid, dkey: keyOf(args) });
    if (file === undefined) throw new OmgfsError('UNKNOWN_KEY');
    return file.fid;
  }
}

function prefixed(prefix: string, row: object | undefined): ReplyFields {
  const fields: ReplyFields = {};
  for (const [name, value] of Object.entries(row ?? {})) fields[`${prefix}_${name}`] = value;
  return fields;
}

function fileFields(topology: Topology, file: FidRecords['file']): ReplyFields {
  if (file === undefined) return {};
  const { devids: _, ...row } = file;
  return prefixed('fid', {
    ...row,
    // An adopted database may name domains and classes that are gone (spec appendix D).
    domain: topology.domainById(file.dmid)?.name ?? '',
    class: topology.classOf(file.dmid, file.classid).name,
  });
}

function tempfileFields(tempfile: FidRecords['tempfile']): ReplyFields {
  if (tempfile === undefined) return {};
  const { classid, dmid, dkey, devids } = tempfile;
  return prefixed('tempfile', { classid, dmid, dkey, devids: devids.join(',') });
}
