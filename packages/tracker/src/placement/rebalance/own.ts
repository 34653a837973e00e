/**
 * What we keep of a run and of drains beyond the rows of the original, as JSON in rows of our own.
 * Pure. Whatever is stored can be read: what does not fit is as if it were not there.
 */
import { type DeviceStatus, deviceStatuses } from '../model.ts';

export type ByDevice = readonly (readonly [devid: number, bytes: number])[];

/** What we know of the run that was started at `started`. */
export interface RunNotes {
  /** `time_started` of the run; notes on another run count for nothing. */
  started: number;
  /** Tells this start from another in the same second. */
  token: string;
  /** The source we have set to drain, and the state it had. */
  marked: number;
  was: DeviceStatus;
  /** Why nothing is queued at the moment, or why the run ended. */
  waiting: string;
  /** Evening out: rounds begun, files queued before this one, when its last move was over. */
  round: number;
  roundQueued: number;
  roundEnded: number;
  /** Evening out: bytes to give and to take. */
  sheds: ByDevice;
  rooms: ByDevice;
}

export const noNotes: RunNotes = {
  started: 0,
  token: '',
  marked: 0,
  was: 'alive',
  waiting: '',
  round: 0,
  roundQueued: 0,
  roundEnded: 0,
  sheds: [],
  rooms: [],
};

export function parseNotes(text: string | undefined, started: number): RunNotes {
  const stored = parseObject(text);
  if (stored.started !== started) return { ...noNotes, started };
  return {
    started,
    token: typeof stored.token === 'string' ? stored.token : '',
    marked: count(stored.marked),
    was: deviceStatuses.find((status) => status === stored.was) ?? 'alive',
    waiting: typeof stored.waiting === 'string' ? stored.waiting : '',
    round: count(stored.round),
    roundQueued: count(stored.roundQueued),
    roundEnded: count(stored.roundEnded),
    sheds: byDevice(stored.sheds),
    rooms: byDevice(stored.rooms),
  };
}

/** A device that is being emptied until an operator says otherwise. */
export interface Drain {
  devid: number;
  /** Unix seconds. */
  started: number;
  /** Replicas it held at the start. */
  replicas: number;
  /** State to give back when the drain is called off. */
  was: DeviceStatus;
  lastFid: number;
  /** When all it held had been looked at last. */
  scanned: number;
}

export function parseDrains(text: string | undefined): Drain[] {
  const stored = parseObject(text).devices;
  if (!Array.isArray(stored)) return [];
  return stored.flatMap((one: unknown) => {
    const drain = typeof one === 'object' && one !== null ? (one as Record<string, unknown>) : {};
    const devid = count(drain.devid);
    if (devid === 0) return [];
    return {
      devid,
      started: count(drain.started),
      replicas: count(drain.replicas),
      was: deviceStatuses.find((status) => status === drain.was) ?? 'alive',
      lastFid: count(drain.lastFid),
      scanned: count(drain.scanned),
    };
  });
}

/** undefined when nothing is drained: the row goes. */
export function formatDrains(drains: readonly Drain[]): string | undefined {
  return drains.length === 0 ? undefined : JSON.stringify({ devices: drains });
}

function parseObject(text: string | undefined): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text ?? '{}');
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch {
    return {};
  }
}

function count(value: unknown): number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value > 0 ? value : 0;
}

function byDevice(value: unknown): [number, number][] {
  if (!Array.isArray(value)) return [];
  return value.flatMap((pair: unknown) => {
    return Array.isArray(pair) && count(pair[0]) > 0 ? [[count(pair[0]), count(pair[1])]] : [];
  });
}
