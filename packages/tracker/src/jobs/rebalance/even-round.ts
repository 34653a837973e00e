/**
 * Evening out goes in rounds: plan by the figures of now, move, look again. A round ends when its
 * moves are over and the figures tell of them.
 */
import { type EvenDevice, planEven } from '../../placement/rebalance/even.ts';
import { bytesPerMb } from '../../placement/rebalance/select.ts';
import { rebalanceDevices } from '../../topology/rebalance-view.ts';
import type { JobServices } from '../services.ts';
import { type Run, type RunSettings, save } from './save.ts';

const roundsMax = 10;

export async function planRound(
  services: JobServices,
  run: Run,
  { usageSettleSeconds }: RunSettings,
  finish: (services: JobServices, run: Run, reason: string) => Promise<boolean>,
): Promise<boolean> {
  const { records, policy, state, notes } = run;
  if (await hasMovesInWork(services)) return false;
  if (notes.round > 0 && policy.evenBy === 'usage') {
    if (notes.roundEnded === 0) {
      await save(services, { ...run, notes: { ...notes, roundEnded: records.now } });
      return false;
    }
    if (records.now - notes.roundEnded < usageSettleSeconds) return false;
  }
  const devices = await participants(services, run);
  const plan = planEven(devices, policy.even ?? 0);
  const spread = `${plan.spreadPercent.toFixed(1)} points from the mean at most`;
  if (plan.isEven) return finish(services, run, `even: ${spread}`);
  if (notes.round > 0 && notes.roundQueued === state.fidsQueued) {
    return finish(services, run, `not even: ${spread}, and no further file can be moved`);
  }
  if (notes.round >= roundsMax) return finish(services, run, `not even: ${spread}`);
  services.log.info({ round: notes.round + 1, mean: plan.meanPercent, spread }, 'even.planned');
  const next = {
    ...notes,
    round: notes.round + 1,
    roundQueued: state.fidsQueued,
    roundEnded: 0,
    sheds: plan.sheds,
    rooms: plan.rooms,
    waiting: '',
  };
  const sources = plan.sheds.map(([devid]) => devid);
  return save(services, { ...run, state: { ...state, sources, completed: [] }, notes: next });
}

/** Whether moves are queued that did not fail before. */
export async function hasMovesInWork({ store }: JobServices): Promise<boolean> {
  const { queued, waiting } = await store.rebalance.counts();
  return queued > waiting.reduce((sum, { count }) => sum + count, 0);
}

/** Devices that an operator lets take and give files, and whose figures are known. */
async function participants(services: JobServices, run: Run): Promise<EvenDevice[]> {
  const { records, policy } = run;
  const held =
    policy.evenBy === 'files' ? await services.store.rebalance.bytesByDevice() : undefined;
  return rebalanceDevices(services, records).flatMap((device) => {
    const { devid, mbTotal, mbUsed } = device;
    const isAlive = records.statuses.get(devid) === 'alive' && device.deletable;
    if (!isAlive || mbTotal === null || mbUsed === null || mbTotal <= 0) return [];
    const total = mbTotal * bytesPerMb;
    const used = held === undefined ? mbUsed * bytesPerMb : (held.get(devid) ?? 0);
    return { devid, total, used };
  });
}
