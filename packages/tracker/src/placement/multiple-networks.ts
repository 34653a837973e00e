/** The policy that spreads copies over networks, then over hosts (spec §6.5). Pure. */
import {
  copyCandidates,
  fillsAllDisks,
  inOrder,
  nowhereToGo,
  type PolicyAnswer,
  type PolicyQuestion,
} from './contract.ts';

/** The steps of spec §6.5, in their order. */
export function multipleNetworks(question: PolicyQuestion): PolicyAnswer {
  const { holding, devices, min, random } = question;
  const copies = holding.length;
  if (min === 1 && copies >= 1) return { verdict: 'met' };
  if (fillsAllDisks(question)) return { verdict: 'met' };
  const alive = devices.filter((device) => device.alive);
  const networks = new Set(alive.map(({ network }) => network));
  const hosts = new Set(alive.map(({ hostid }) => hostid));
  const usedNetworks = new Set(holding.map(({ network }) => network));
  const usedHosts = new Set(holding.map(({ hostid }) => hostid));
  const spans = usedNetworks.size >= Math.min(min, networks.size);
  if (spans) {
    if (usedHosts.size > min || (usedHosts.size === min && copies > min)) {
      return { verdict: 'over' };
    }
    if (usedHosts.size === min) return { verdict: 'met' };
    if (usedHosts.size >= hosts.size && copies >= min) return { verdict: 'met' };
  }
  const candidates = copyCandidates(question);
  const elsewhere = candidates.filter(({ hostid }) => !usedHosts.has(hostid));
  const ideal = elsewhere.filter(({ network }) => !usedNetworks.has(network));
  const near = elsewhere.filter(({ network }) => usedNetworks.has(network));
  const sameHost = candidates.filter(({ hostid }) => usedHosts.has(hostid));
  // With enough copies, one more must bring them further apart; the original would go on piling up
  // copies in one network while the other is away.
  const enough = copies >= min;
  const desperate = [
    ...(enough && !spans ? [] : inOrder(near, random)),
    ...(enough ? [] : inOrder(sameHost, random)),
  ];
  if (ideal.length === 0 && desperate.length === 0) return nowhereToGo;
  return { verdict: 'short', ideal: inOrder(ideal, random), desperate };
}
