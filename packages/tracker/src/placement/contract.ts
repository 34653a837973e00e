/**
 * What a replication policy is asked and what it answers (spec §6.2), and the candidates that all
 * policies share. Pure data and functions.
 */
import { attraction, mostAttractive, type WeighedDevice, weightedOrder } from './weighted.ts';

/** A device as policies see it. */
export interface PolicyDevice extends WeighedDevice {
  /** The network zone of its host, or its /16 (spec §6.5). */
  network: string;
  /** The operator says alive; a host with such a device counts as a place for copies. */
  alive: boolean;
  /** The operator says dead: the device does not exist for policies. */
  dead: boolean;
  /** It may be given replicas now. */
  takesFiles: boolean;
}

export interface PolicyQuestion {
  /** Devices that hold the file: not dead, and not the one a replica is to be moved away from. */
  holding: readonly Pick<PolicyDevice, 'devid' | 'hostid' | 'network'>[];
  /** Devices that exist as targets, holding ones included. */
  devices: readonly PolicyDevice[];
  /** Targets that failed in this round. */
  failed: ReadonlySet<number>;
  /** Copies the class wants. */
  min: number;
  random: () => number;
}

/**
 * `met` and `over` are MogileFS's happy and too happy. `short` names devices in the order to try
 * them; desperate ones only when there is no ideal one. `undecided`: nothing can be done now.
 */
export type PolicyAnswer =
  | { verdict: 'met' | 'over' }
  | { verdict: 'short'; ideal: number[]; desperate: number[] }
  | { verdict: 'undecided'; reason: string };

export const nowhereToGo: PolicyAnswer = {
  verdict: 'undecided',
  reason: 'no device can take another copy now',
};

/** Devices that may get a copy: they take files, do not hold the file and have not failed. */
export function copyCandidates(question: PolicyQuestion): PolicyDevice[] {
  const holding = new Set(question.holding.map(({ devid }) => devid));
  return question.devices.filter(({ devid, dead, takesFiles }) => {
    return takesFiles && !dead && !holding.has(devid) && !question.failed.has(devid);
  });
}

/** Devids of the most attractive candidates, in weighted random order. */
export function inOrder(candidates: readonly PolicyDevice[], random: () => number): number[] {
  const best = mostAttractive(candidates);
  return weightedOrder(best, { weightOf: attraction, random }).map(({ devid }) => devid);
}

/** At least two copies, one on every disk there is: more cannot be asked for. */
export function fillsAllDisks({ holding, devices }: PolicyQuestion): boolean {
  return holding.length >= 2 && holding.length === devices.filter(({ dead }) => !dead).length;
}
