/**
 * Which devices count as lost: those that no tracker has reached for `omg_heal_after` seconds. The
 * answer is kept in a setting, so that all trackers ask policies the same question.
 */
import type { Topology } from '../../topology/topology.ts';

export const healAfterField = 'omg_heal_after';

/** @returns devids to count as lost from now on, ascending. */
export function lostDevices(topology: Topology, nowSeconds: number): number[] {
  const after = Number(topology.setting(healAfterField)) || 0;
  if (after <= 0) return [];
  const monitored = [...topology.devices()].filter((device) => topology.isMonitored(device));
  const away = monitored.filter(({ devid }) => !topology.isReadable(devid));
  const lost = away.filter(({ devid, mbAsof }) => {
    if (topology.isLost(devid)) return true;
    // Any tracker that reaches the device writes down its usage every few seconds.
    return mbAsof !== null && nowSeconds - mbAsof >= after;
  });
  // When most of the cluster is away, it is this tracker that is cut off, or a site without power:
  // nothing to answer with copies. What is marked already stays so.
  const isCutOff = away.length * 2 > monitored.length;
  return lost
    .map(({ devid }) => devid)
    .filter((devid) => !isCutOff || topology.isLost(devid))
    .sort((a, b) => a - b);
}
