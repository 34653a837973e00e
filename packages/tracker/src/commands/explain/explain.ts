/**
 * `explain` and `queue_stats`: commands of ours, so that an operator can always ask why a file, a
 * device or a queue is not as it should be (design section 1, promise 3).
 */
import { type Fields, isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import { domainOf, idOf, keyOf } from '../arguments.ts';
import type { Command } from '../registry.ts';
import type { CommandServices } from '../services.ts';
import { explainDevice } from './explain-device.ts';
import { explainFile } from './explain-file.ts';

export function explainCommands(services: CommandServices): Record<string, Command> {
  return { explain: explain(services), queue_stats: queueStats(services) };
}

/** Arguments: `devid`, or `fid`, or `domain` and `key`. Reply: `lines`, `line1`, `line2` … */
function explain(services: CommandServices): Command {
  const { store, topology } = services;
  return async ({ args }) => {
    if (isTrue(args.devid)) {
      const devid = idOf(args.devid);
      if (devid === undefined) throw new OmgfsError('INVALID_DEVID');
      const replicas = await store.countReplicas(devid);
      return lineFields(explainDevice(topology, devid, replicas));
    }
    const fid = await fidOf(services, args);
    const [records, notes] = await Promise.all([store.fidRecords(fid), store.notes.of(fid)]);
    const nowSeconds = Math.floor(Date.now() / 1000);
    return lineFields(explainFile(services, { fid, records, notes, nowSeconds }));
  };
}

async function fidOf({ store, topology }: CommandServices, args: Fields): Promise<number> {
  if (isTrue(args.fid)) {
    const fid = idOf(args.fid);
    if (fid === undefined) throw new OmgfsError('UNKNOWN_FID');
    return fid;
  }
  const { dmid } = domainOf(topology, args);
  const file = await store.findFile({ dmid, dkey: keyOf(args) });
  if (file === undefined) throw new OmgfsError('UNKNOWN_KEY');
  return file.fid;
}

function lineFields(lines: readonly string[]): ReplyFields {
  const fields: ReplyFields = { lines: lines.length };
  for (const [index, line] of lines.entries()) fields[`line${index + 1}`] = line;
  return fields;
}

/** Reasons for waiting that `queue_stats` tells, the most frequent. */
const topReasons = 10;

/**
 * Reply: `reasons`, and for each `reasonN_` and job, code, text, count;
 * `queues`, and for each `queueN_` and name, total, due, working, parked, failed …
 */
function queueStats({ store }: CommandServices): Command {
  return async () => {
    const [stats, reasons] = await Promise.all([store.queueStats(), store.notes.top(topReasons)]);
    const fields: ReplyFields = { queues: stats.length, reasons: reasons.length };
    for (const [index, queue] of stats.entries()) {
      const prefix = `queue${index + 1}_`;
      fields[`${prefix}name`] = queue.name;
      fields[`${prefix}total`] = queue.total;
      fields[`${prefix}due`] = queue.due;
      fields[`${prefix}working`] = queue.working;
      fields[`${prefix}parked`] = queue.parked;
      fields[`${prefix}failed`] = queue.failed;
      fields[`${prefix}oldest_due`] = queue.oldestDueSeconds;
      fields[`${prefix}next_in`] = queue.nextInSeconds;
    }
    for (const [index, { job, code, reason, count }] of reasons.entries()) {
      const prefix = `reason${index + 1}_`;
      fields[`${prefix}job`] = job;
      fields[`${prefix}code`] = code;
      fields[`${prefix}text`] = reason;
      fields[`${prefix}count`] = count;
    }
    return fields;
  };
}
