/** `MultipleHosts`, the default: copies on different hosts while hosts allow it (spec §6.3). */
import type { PolicyQuestion, PolicyVerdict } from './policy.ts';

/** The steps and their order are the original's; tests of it pin each one. */
export function multipleHosts(question: PolicyQuestion): PolicyVerdict {
  const { mindevcount: wanted, holding, candidates, hostsAlive, disks } = question;
  const usedHosts = new Set(holding.map(({ hostid }) => hostid));
  const copies = holding.length;
  if (wanted === 1 && copies === 1) return { state: 'met' };
  if (usedHosts.size > wanted || copies > wanted) return { state: 'over' };
  if (usedHosts.size === wanted) return { state: 'met' };
  if (usedHosts.size >= hostsAlive && copies >= wanted) return { state: 'met' };
  if (copies >= 2 && copies === disks) return { state: 'met' };
  if (candidates.length === 0) {
    return { state: 'undecided', reason: 'no device can take another replica now' };
  }
  const onUsedHost = ({ hostid }: { hostid: number }) => usedHosts.has(hostid);
  const hostsLeft = usedHosts.size < hostsAlive;
  const ideal = hostsLeft ? candidates.filter((device) => !onUsedHost(device)) : candidates;
  const desperate = hostsLeft ? candidates.filter(onUsedHost) : [];
  if (copies >= wanted && ideal.length === 0) {
    const reason = 'enough copies, but on too few hosts, and no other host can take one now';
    return { state: 'undecided', reason };
  }
  return {
    state: 'short',
    ideal: ideal.map(({ devid }) => devid),
    desperate: desperate.map(({ devid }) => devid),
  };
}
