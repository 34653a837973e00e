/**
 * Empties the devices an operator wants empty: queues the moves of all they hold, looks again from
 * the start when the end is reached, and goes on for as long as the operator leaves it so.
 */
import { type Drain, formatDrains, parseDrains } from '../../placement/rebalance/own.ts';
import { rebalanceField as field, type RebalanceRecords } from '../../store/rebalance-store.ts';
import { rebalanceDevices } from '../../topology/rebalance-view.ts';
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
  for (const drain of parseDrains(records.settings.get(field.drains))) {
    busy = (await stepDrain(services, records, drain)) || busy;
  }
  return busy;
}

async function stepDrain(
  services: JobServices,
  records: RebalanceRecords,
  drain: Drain,
): Promise<boolean> {
  const { store, log } = services;
  const { devid, lastFid } = drain;
  const status = records.statuses.get(devid);
  if (status !== 'drain') {
    // An operator gave the device another state: that ends the drain.
    log.info({ devid, status }, 'drain.ended');
    await saveDrain(services, { devid, change: () => undefined });
    return false;
  }
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
    if (lastFid !== 0) {
      await saveDrain(services, {
        devid,
        change: (one) => ({ ...one, lastFid: 0, scanned: records.now }),
      });
    }
    return false;
  }
  const targets = rebalanceDevices(services, records)
    .filter((one) => one.takesFiles)
    .map((one) => one.devid);
  const moves = files.filter(({ isFile }) => isFile).map(({ fid }) => ({ fid, devid, targets }));
  await saveDrain(services, { devid, change: (one) => ({ ...one, lastFid: last }), moves });
  return files.length === batchFiles;
}

/** Other drains may come and go meanwhile, so only the one concerned is changed. */
async function saveDrain(
  { store }: JobServices,
  request: {
    devid: number;
    change: (drain: Drain) => Drain | undefined;
    moves?: Parameters<typeof store.rebalance.change>[0]['moves'];
  },
): Promise<void> {
  const { settings } = await store.rebalance.records();
  const text = settings.get(field.drains);
  const drains = parseDrains(text).flatMap((one) => {
    return one.devid === request.devid ? (request.change(one) ?? []) : one;
  });
  await store.rebalance.change({
    expect: { [field.drains]: text },
    settings: { [field.drains]: formatDrains(drains) },
    moves: request.moves ?? [],
  });
}
