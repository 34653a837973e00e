/** `MultipleDevices`: so many copies on any devices, hosts ignored (spec §6.4). */
import type { PolicyQuestion, PolicyVerdict } from './policy.ts';

export function multipleDevices(question: PolicyQuestion): PolicyVerdict {
  const { mindevcount: wanted, holding, candidates, disks } = question;
  const copies = holding.length;
  if (copies === wanted) return { state: 'met' };
  if (copies > wanted) return { state: 'over' };
  if (copies >= 2 && copies === disks) return { state: 'met' };
  if (candidates.length === 0) {
    return { state: 'undecided', reason: 'no device can take another replica now' };
  }
  return { state: 'short', ideal: candidates.map(({ devid }) => devid), desperate: [] };
}
