/**
 * The state of a rebalance as trackers of the original keep it in `rebal_state` (spec §7.2):
 * blank-separated `name=value` in any order. Pure. Only names of the original are written, because
 * it refuses others; what we know beyond it is in a row of our own. Whatever is stored can be read.
 */

const lists = { completed_devs: 'completed', source_devs: 'sources' } as const;
const numbers = {
  sdev_current: 'current',
  sdev_lastfid: 'lastFid',
  sdev_limit: 'deviceLimit',
  limit: 'limit',
  fids_queued: 'fidsQueued',
  bytes_queued: 'bytesQueued',
  time_started: 'timeStarted',
  time_finished: 'timeFinished',
  time_stopped: 'timeStopped',
  time_latest_run: 'timeLatestRun',
  time_latest_empty_run: 'timeLatestEmptyRun',
  empty_runs: 'emptyRuns',
} as const;

export type RebalanceState = Record<(typeof lists)[keyof typeof lists], number[]> &
  Record<(typeof numbers)[keyof typeof numbers], number>;

export const emptyRebalanceState: RebalanceState = parseRebalanceState('');

/** Missing or odd values count as 0 or empty; unknown names are left out. */
export function parseRebalanceState(text: string): RebalanceState {
  const values = new Map<string, string>();
  for (const part of text.split(/\s+/)) {
    const at = part.indexOf('=');
    if (at > 0) values.set(part.slice(0, at), part.slice(at + 1));
  }
  const state: Record<string, number | number[]> = {};
  for (const [name, key] of Object.entries(lists)) {
    // The original leaves an empty element at the front.
    const parts = (values.get(name) ?? '').split(',');
    state[key] = parts.filter((one) => /^\d{1,9}$/.test(one)).map(Number);
  }
  for (const [name, key] of Object.entries(numbers)) {
    const value = /^\d{1,16}/.exec(values.get(name) ?? '')?.[0] ?? '0';
    state[key] = Number.isSafeInteger(Number(value)) ? Number(value) : 0;
  }
  return state as RebalanceState;
}

export function formatRebalanceState(state: RebalanceState): string {
  const parts = [
    ...Object.entries(lists).map(([name, key]) => `${name}=${state[key].join(',')}`),
    ...Object.entries(numbers).map(([name, key]) => `${name}=${Math.floor(state[key])}`),
  ];
  return parts.join(' ');
}
