/** Where and how fast devices are scrubbed, as settings and hosts say. */
import { scrubPath } from '@omgfs/protocol';
import type { Topology } from './topology.ts';

/** Setting: MiB a second that each device is read at; absent leaves it to the nodes. */
export const scrubRateField = 'omg_scrub_mib_per_second';

/** null: as the nodes were told by their own options; 0 stops. */
export function scrubBytesPerSecond(topology: Topology): number | null {
  const text = topology.setting(scrubRateField) ?? '';
  return /^\d{1,6}$/.test(text) ? Number(text) * 1024 * 1024 : null;
}

/** Where the scrub of a device is asked; undefined for an unknown device. */
export function scrubUrl(topology: Topology, devid: number): string | undefined {
  const device = topology.device(devid);
  const host = device && topology.host(device.hostid);
  return host && `http://${host.hostip}:${host.httpPort}${scrubPath(devid)}`;
}
