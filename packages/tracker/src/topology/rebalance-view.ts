/** The devices as a rebalance sees them, and which of them it empties now. */
import { isTrue } from '@omgfs/protocol';
import { deviceRules, hostRules } from '../placement/model.ts';
import type { RebalanceDevice } from '../placement/rebalance/select.ts';
import { parseRebalanceState } from '../placement/rebalance/state.ts';
import { rebalanceField as field, type RebalanceRecords } from '../store/rebalance-store.ts';
import type { Topology } from './topology.ts';

/** States are those of the database right now, not those this tracker read some seconds ago. */
export function rebalanceDevices(
  { topology }: { topology: Topology },
  { statuses }: RebalanceRecords,
): RebalanceDevice[] {
  return [...topology.devices()].map((device) => {
    const { devid, hostid, mbTotal, mbUsed } = device;
    const status = statuses.get(devid) ?? 'down';
    const host = topology.host(hostid);
    const rules = deviceRules[status];
    return {
      devid,
      hostid,
      mbTotal,
      mbUsed,
      deletable: rules.write && host !== undefined && hostRules[host.status].write,
      takesFiles: rules.newFiles && topology.getsNewFiles(devid),
    };
  });
}

/** The source of the run that goes on, if one does; the moves away from it are its own business. */
export function runningSource({ settings }: RebalanceRecords): number | undefined {
  if (!isTrue(settings.get(field.host))) return undefined;
  return parseRebalanceState(settings.get(field.state) ?? '').current;
}
