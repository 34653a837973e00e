/**
 * Empties the devices an operator wants empty: queues the moves of all they hold, looks again from
 * the start when the end is reached, and goes on for as long as the operator leaves it so.
 */
import { type Drain, formatDrains, parseDrains } from '../../placement/rebalance/own.ts';
import {
  rebalanceField as field,
  type RebalanceChange,
  type RebalanceRecords,
} from '../../store/rebalance-store.ts';
import { rebalanceDevices, runningSource } from '../../topology/rebalance-view.ts';
import type { JobServices } from '../services.ts';

const batchFiles = 500;
const queuedMax = 10_000;
/** While moves wait for something, what came in meanwhile is looked for only so often. */
const rescanSeconds = 30;

/** @returns whether there is more to do right away. */
export async function stepDrains(
  services: JobServices,
  records: RebalanceRecords,
): Promise<boolean> {
  let busy = false;
  for (const { devid } of parseDrains(records.settings.get(field.drains))) {
    busy = (await stepDrain(services, devid)) || busy;
  }
  return busy;
}

async function stepDrain(services: JobServices, devid: number): Promise<boolean> {
  const { store, log } = services;
  // Read anew: the step of the drain before has written its position.
  const records = await store.rebalance.records();
  const drains = parseDrains(records.settings.get(field.drains));
  const drain = drains.find((one) => one.devid === devid);
  if (drain === undefined) return false;
  const { lastFid } = drain;
  const status = records.statuses.get(devid);
  if (status !== 'drain') {
    // An operator gave the device another state: that ends the drain.
    log.info({ devid, status }, 'drain.ended');
    const dropped = runningSource(records) === devid ? [] : [devid];
    await save(services, { records, drains: drains.filter((one) => one !== drain), dropped });
    return false;
  }
  const replace = (changes: Partial<Drain>) =>
    drains.map((one) => (one === drain ? { ...one, ...changes } : one));
  const { queued } = await store.rebalance.counts(devid);
  if (queued >= queuedMax) return false;
  if (lastFid === 0 && queued > 0 && records.now - drain.scanned < rescanSeconds) return false;
  const files = await store.rebalance.filesOn({
    devid,
    after: lastFid,
    limit: batchFiles,
    newestFirst: false,
  });
  const last = files.at(-1)?.fid ?? 0;
  // At the end: from the start again, for what came in or was given up meanwhile.
  if (last === 0) {
    const rewound = replace({ lastFid: 0, scanned: records.now });
    if (lastFid !== 0) await save(services, { records, drains: rewound });
    return false;
  }
  const targets = rebalanceDevices(services, records)
    .filter((one) => one.takesFiles)
    .map((one) => one.devid);
  const moves = files.filter(({ isFile }) => isFile).map(({ fid }) => ({ fid, devid, targets }));
  await save(services, { records, drains: replace({ lastFid: last }), moves });
  return files.length === batchFiles;
}

/** Does nothing when drains came or went since they were read: the next round decides anew. */
async function save(
  { store }: JobServices,
  step: { records: RebalanceRecords; drains: readonly Drain[] } & Pick<
    RebalanceChange,
    'moves' | 'dropped'
  >,
): Promise<void> {
  const { records, drains, ...more } = step;
  await store.rebalance.change({
    expect: { [field.drains]: records.settings.get(field.drains) },
    settings: { [field.drains]: formatDrains(drains) },
    ...more,
  });
}
