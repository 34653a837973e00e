/** The default policy: copies on as many hosts as copies are wanted (spec §6.3). Pure. */
import {
  copyCandidates,
  fillsAllDisks,
  inOrder,
  nowhereToGo,
  type PolicyAnswer,
  type PolicyQuestion,
} from './contract.ts';

/** The steps of spec §6.3, in their order. */
export function multipleHosts(question: PolicyQuestion): PolicyAnswer {
  const { holding, devices, min, random } = question;
  const copies = holding.length;
  const usedHosts = new Set(holding.map(({ hostid }) => hostid));
  const hosts = new Set(devices.filter(({ alive }) => alive).map(({ hostid }) => hostid));
  if (min === 1 && copies === 1) return { verdict: 'met' };
  if (usedHosts.size > min || copies > min) return { verdict: 'over' };
  if (usedHosts.size === min) return { verdict: 'met' };
  if (usedHosts.size >= hosts.size && copies >= min) return { verdict: 'met' };
  if (fillsAllDisks(question)) return { verdict: 'met' };
  const candidates = copyCandidates(question);
  const hostsLeft = usedHosts.size < hosts.size;
  const isDesperate = (hostid: number): boolean => hostsLeft && usedHosts.has(hostid);
  const ideal = candidates.filter(({ hostid }) => !isDesperate(hostid));
  const desperate = candidates.filter(({ hostid }) => isDesperate(hostid));
  // Enough copies on too few hosts: wait for another host rather than pile up on one.
  if (candidates.length === 0 || (copies >= min && ideal.length === 0)) return nowhereToGo;
  return { verdict: 'short', ideal: inOrder(ideal, random), desperate: inOrder(desperate, random) };
}
