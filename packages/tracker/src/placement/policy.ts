/**
 * Replication policies (spec §6): the text of a class, parsed, and what a policy says of one file.
 * Pure: a policy sees plain facts and proposes; it never touches a device.
 */
import { multipleDevices } from './multiple-devices.ts';
import { multipleHosts } from './multiple-hosts.ts';

/** What a policy is asked (spec §6.2). */
export interface PolicyQuestion {
  /** Copies wanted by the class. */
  mindevcount: number;
  /** Devices that hold the file: not dead, not masked. */
  holding: readonly PlacedDevice[];
  /** Devices that may take a replica now, in the order to prefer, neither holding nor failed. */
  candidates: readonly PlacedDevice[];
  /** Hosts that own at least one device marked alive, whatever is observed. */
  hostsAlive: number;
  /** Devices of the cluster that are not dead. */
  disks: number;
}

export interface PlacedDevice {
  devid: number;
  hostid: number;
}

/**
 * `met`: as wanted. `over`: more copies than wanted. `short`: put a replica on one of `ideal`, or
 * if there is none on one of `desperate`. `undecided`: nothing can be done now, for the reason.
 */
export type PolicyVerdict =
  | { state: 'met' }
  | { state: 'over' }
  | { state: 'short'; ideal: readonly number[]; desperate: readonly number[] }
  | { state: 'undecided'; reason: string };

export type Policy = (question: PolicyQuestion) => PolicyVerdict;

export type ParsedPolicy = { known: true; judge: Policy } | { known: false; reason: string };

/** Policies with one optional count; a count of 0 or none means the class's mindevcount. */
const countedPolicies: Readonly<Record<string, Policy>> = {
  MultipleHosts: multipleHosts,
  MultipleDevices: multipleDevices,
};

/**
 * Parses the text of a class; null and empty mean `MultipleHosts()`. A policy that is not installed
 * here is a value, not an error: its files are kept as they are (spec appendix D no. 7).
 */
export function parsePolicy(text: string | null): ParsedPolicy {
  if (text === null || text.trim() === '') return { known: true, judge: multipleHosts };
  const match = /^\s*([A-Za-z0-9_:]+)\s*\(\s*(\d*)\s*\)/.exec(text);
  const name = /^\s*([A-Za-z0-9_:]+)\s*\(/.exec(text)?.[1];
  if (name === undefined) {
    return { known: false, reason: `Cannot parse replication policy: ${text}` };
  }
  const policy = Object.hasOwn(countedPolicies, name) ? countedPolicies[name] : undefined;
  if (policy === undefined) {
    return { known: false, reason: `Replication policy ${name} is not installed` };
  }
  if (match === null) return { known: false, reason: `Invalid arguments of ${name}: ${text}` };
  const count = Number(match[2] || 0);
  if (count === 0) return { known: true, judge: policy };
  return {
    known: true,
    judge: (question) => policy({ ...question, mindevcount: count }),
  };
}
