/**
 * `explain` and `queue_stats`: commands of ours, so that an operator can always ask why a file, a
 * device or a queue is not as it should be (design section 1, promise 3).
 */
import { type Fields, isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { FileClass } from '../../placement/model.ts';
import type { Topology } from '../../topology/topology.ts';
import { domainOf, idOf, keyOf } from '../arguments.ts';
import type { Command } from '../command.ts';
import type { CommandServices } from '../services.ts';
import { explainClass } from './explain-class.ts';
import { deviceLoad, explainDevice } from './explain-device.ts';
import { explainFile } from './explain-file.ts';
import { queueStats } from './queue-stats.ts';

export function explainCommands(services: CommandServices): Record<string, Command> {
  return { explain: explain(services), queue_stats: queueStats(services) };
}

/**
 * Arguments: `devid`, or `fid`, or `domain` and `key`, or `domain` and `class`. Reply: `lines`,
 * `line1`, `line2` …
 */
function explain(services: CommandServices): Command {
  const { store, topology } = services;
  return async ({ args }) => {
    if (isGiven(args.devid)) {
      const devid = idOf(args.devid);
      if (devid === undefined) throw new OmgfsError('INVALID_DEVID');
      // Its state may have been changed through another tracker just now.
      await services.reload();
      return lineFields(explainDevice(topology, devid, await deviceLoad(services, devid)));
    }
    if (isTrue(args.class) && !isGiven(args.fid) && !isTrue(args.key)) {
      // Whoever has just changed it asks, perhaps through another tracker.
      await services.reload();
      return lineFields(explainClass(services, classOf(topology, args)));
    }
    const fid = await fidOf(services, args);
    const [records, notes] = await Promise.all([store.fidRecords(fid), store.notes.of(fid)]);
    const nowSeconds = Math.floor(Date.now() / 1000);
    return lineFields(explainFile(services, { fid, records, notes, nowSeconds }));
  };
}

/** 0 is one that does not exist, and no reason to look for another argument. */
function isGiven(text: string | undefined): boolean {
  return text !== undefined && text !== '';
}

async function fidOf({ store, topology }: CommandServices, args: Fields): Promise<number> {
  if (isGiven(args.fid)) {
    const fid = idOf(args.fid);
    if (fid === undefined) throw new OmgfsError('UNKNOWN_FID');
    return fid;
  }
  const { dmid } = domainOf(topology, args);
  const file = await store.findFile({ dmid, dkey: keyOf(args) });
  if (file === undefined) throw new OmgfsError('UNKNOWN_KEY');
  return file.fid;
}

/** @throws UNREG_DOMAIN, UNREG_CLASS. */
function classOf(topology: Topology, args: Fields): FileClass {
  const fileClass = domainOf(topology, args).classes.get(args.class ?? '');
  if (fileClass === undefined) throw new OmgfsError('UNREG_CLASS');
  return fileClass;
}

function lineFields(lines: readonly string[]): ReplyFields {
  const fields: ReplyFields = { lines: lines.length };
  for (const [index, line] of lines.entries()) fields[`line${index + 1}`] = line;
  return fields;
}
