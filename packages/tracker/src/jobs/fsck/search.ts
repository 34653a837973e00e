/** The search for a file that is on none of the devices that should hold it (spec §5.5 SRCH). */
import type { FsckFile } from '../../store/fsck-store.ts';
import type { JobServices } from '../services.ts';
import type { Reach } from './reach.ts';
import { forEachOf } from './slots.ts';

/** Devices asked at once for one file. */
const atOnce = 8;

/**
 * Asks every device that is not dead, in random order, until one shows a file of the right length.
 * One that cannot be reached does not end the search (spec §11.1 no. 9); it only keeps a file that
 * is not found elsewhere from being given up.
 */
export async function searchDevices(
  { services, reach }: { services: JobServices; reach: Reach },
  request: { file: FsckFile; except: readonly number[]; signals: readonly AbortSignal[] },
): Promise<{ found: number | undefined; unsure: { devid: number; reason: string }[] }> {
  const { topology, random } = services;
  const candidates = [...topology.devices()]
    .map(({ devid }) => ({ devid, order: random() }))
    .filter(({ devid }) => !reach.isGone(devid) && !request.except.includes(devid))
    .sort((a, b) => a.order - b.order);
  const unsure: { devid: number; reason: string }[] = [];
  let found: number | undefined;
  await forEachOf(candidates, atOnce, async ({ devid }) => {
    if (found !== undefined || request.signals.some(({ aborted }) => aborted)) return;
    const look = await reach.lookClosely(request.file, devid);
    if (look.state === 'good') found ??= devid;
    if (look.state === 'unsure' || look.state === 'unreadable') {
      unsure.push({ devid, reason: look.reason });
    }
  });
  return { found, unsure };
}
