/** The policy that asks for a number of hosts in each of some zones (spec §6.6). Pure. */
import { copyCandidates, inOrder, type PolicyAnswer, type PolicyQuestion } from './contract.ts';

/** Hosts wanted by zone; zones that are not named do not matter. */
export type ZoneDemands = ReadonlyMap<string, number>;

export function hostsPerNetwork(demands: ZoneDemands, question: PolicyQuestion): PolicyAnswer {
  const { holding, random } = question;
  const usedHosts = new Set(holding.map(({ hostid }) => hostid));
  const zones = [...demands].map(([zone, wanted]) => standing(question, { zone, wanted }));
  const needing = zones.filter(({ needs }) => needs);
  if (needing.length === 0) {
    return { verdict: zones.some(({ copies, wanted }) => copies > wanted) ? 'over' : 'met' };
  }
  const byZone = new Map(needing.map((zone) => [zone.zone, zone]));
  const candidates = copyCandidates(question).filter(({ network }) => byZone.has(network));
  const ideal = candidates.filter(({ hostid }) => !usedHosts.has(hostid));
  const desperate = candidates.filter(({ hostid, network }) => {
    const zone = byZone.get(network);
    // A zone with enough copies on too few hosts waits for another host.
    return usedHosts.has(hostid) && zone !== undefined && zone.copies < zone.wanted;
  });
  if (ideal.length === 0 && desperate.length === 0) {
    const names = needing.map(({ zone, hosts, wanted }) => `${zone} (${hosts} of ${wanted})`);
    const reason = `no device can take another copy now in network zone ${names.join(', ')}`;
    return { verdict: 'undecided', reason };
  }
  return { verdict: 'short', ideal: inOrder(ideal, random), desperate: inOrder(desperate, random) };
}

function standing(
  { holding, devices }: PolicyQuestion,
  { zone, wanted }: { zone: string; wanted: number },
) {
  const held = holding.filter(({ network }) => network === zone);
  const hosts = new Set(held.map(({ hostid }) => hostid)).size;
  const there = devices.filter(({ network, alive }) => network === zone && alive);
  const hostsThere = new Set(there.map(({ hostid }) => hostid)).size;
  // Where there are too few hosts, copies on one of them count one by one.
  const needs = (hostsThere < wanted ? held.length : hosts) < wanted;
  return { zone, wanted, copies: held.length, hosts, needs };
}
