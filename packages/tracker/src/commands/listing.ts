/** `list_keys` and `list_fids` (spec §2.1). */
import { isTrue, limits, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import { domainOf, integerOf } from './arguments.ts';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';

export function listingCommands(services: CommandServices): Record<string, Command> {
  return { list_keys: listKeys(services), list_fids: listFids(services) };
}

function listKeys({ store, topology }: CommandServices): Command {
  return async ({ args }) => {
    const { dmid } = domainOf(topology, args);
    const prefix = args.prefix ?? '';
    const after = args.after ?? '';
    // The original takes the prefix as a regular expression here; a plain comparison is what it
    // means (spec §11.1 no. 4).
    if (after !== '' && !after.startsWith(prefix)) throw new OmgfsError('AFTER_MISMATCH');
    const limit = listLimit(args.limit);
    const caseSensitive = isTrue(topology.setting('case_sensitive_list_keys'));
    const keys =
      limit === 0 ? [] : await store.listKeys({ dmid, prefix, after, limit, caseSensitive });
    // An empty page is an error by the protocol; clients take it as the end of the list.
    if (keys.length === 0) throw new OmgfsError('NONE_MATCH');
    const fields: ReplyFields = { key_count: keys.length, next_after: keys[keys.length - 1] };
    for (const [index, key] of keys.entries()) fields[`key_${index + 1}`] = key;
    return fields;
  };
}

/** Absent, 0 and too many mean the most; text that is no number means none (as observed). */
function listLimit(text: string | undefined): number {
  if (!isTrue(text)) return limits.listKeysMax;
  const limit = integerOf(text);
  if (limit < 0) {
    const message = `list_keys: limit ${limit} is negative`;
    throw new OmgfsError('BAD_REQUEST', { message, wireText: message });
  }
  return Math.min(limit, limits.listKeysMax);
}

function listFids({ store, topology }: CommandServices): Command {
  return async ({ args }) => {
    const after = Math.max(0, integerOf(args.from));
    const asked = args.to === undefined ? 100 : integerOf(args.to);
    const limit = asked < 0 || asked > limits.listFidsMax ? limits.listFidsMax : asked;
    const files = await store.filesAfter({ after, limit: limit === 0 ? 100 : limit });
    const fields: ReplyFields = { fid_count: files.length };
    for (const [index, file] of files.entries()) {
      const prefix = `fid_${index + 1}_`;
      fields[`${prefix}fid`] = file.fid;
      fields[`${prefix}domain`] = topology.domainById(file.dmid)?.name ?? '';
      fields[`${prefix}class`] = topology.classOf(file.dmid, file.classid).name;
      fields[`${prefix}key`] = file.dkey;
      fields[`${prefix}length`] = file.length;
      fields[`${prefix}devcount`] = file.devcount;
    }
    return fields;
  };
}
