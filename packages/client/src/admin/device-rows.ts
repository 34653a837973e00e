/** What trackers of omgfs say of each device, from the fields of a reply. */
import { type Fields, listOf } from '@omgfs/protocol';
import type { DrainInfo, ScrubInfo } from './types.ts';

/** From `drain_status`. */
export function drainsOf(fields: Fields): DrainInfo[] {
  return listOf(fields, { prefix: 'dev', total: fields.devices }).map((row) => ({
    devid: Number(row.devid),
    host: row.host ?? '',
    replicas: Number(row.replicas),
    moves: Number(row.moves_queued),
    uploads: Number(row.open_uploads),
    etaSeconds: numberOrNull(row.eta_seconds),
    safe: row.safe === '1',
    message: row.message ?? '',
  }));
}

/** From `scrub_status`. */
export function scrubsOf(fields: Fields): ScrubInfo[] {
  return listOf(fields, { prefix: 'dev', total: fields.devices }).map((row) => ({
    devid: Number(row.devid),
    host: row.host ?? '',
    state:
      row.state === 'on' || row.state === 'off' || row.state === 'none' ? row.state : 'unreachable',
    bytesPerSecond: Number(row.bytes_per_second ?? 0),
    position: row.position ?? '',
    rounds: Number(row.rounds ?? 0),
    files: Number(row.files ?? 0),
    bytes: Number(row.bytes ?? 0),
    etaSeconds: numberOrNull(row.eta_seconds),
    waiting: Number(row.waiting ?? 0),
    message: row.message ?? '',
  }));
}

/** null for a number that is not known. */
export function numberOrNull(text: string | undefined): number | null {
  const number = text === undefined || text === '' ? Number.NaN : Number(text);
  return Number.isFinite(number) ? number : null;
}
