/**
 * The policy string of a rebalance (spec §7.1): blank-separated `name=value`, commas make lists.
 * Pure. Unlike the original, values are checked when the policy is set, not when it is run.
 */
import { OmgfsError } from '@omgfs/protocol';

export interface DeviceFilter {
  hosts: readonly number[];
  devices: readonly number[];
  percentUsed: number | undefined;
  percentFree: number | undefined;
  /** MiB, as is the next one. */
  spaceUsed: number | undefined;
  spaceFree: number | undefined;
}

export interface RebalancePolicy {
  from: DeviceFilter;
  to: DeviceFilter & { notHosts: readonly number[]; notDevices: readonly number[] };
  newestFirst: boolean;
  limitType: 'device' | 'global';
  limitBy: 'none' | 'size' | 'count' | 'percent';
  /** Bytes, files, or per cent of the bytes in use, as `limitBy` says. */
  limit: number;
  /** So many targets, chosen at random, for each file; undefined for all. */
  targetsMax: number | undefined;
  leaveInDrain: boolean;
  /** Even out to within so many per cent points. No tracker of the original knows this option. */
  even: number | undefined;
  /** What is evened out: the space that devices report, or the bytes of the files on them. */
  evenBy: 'usage' | 'files';
}

type Values = ReadonlyMap<string, string>;

const names = new Set([
  'from_all_devs',
  'from_hosts',
  'from_devices',
  'from_percent_used',
  'from_percent_free',
  'from_space_used',
  'from_space_free',
  'fid_age',
  'limit_type',
  'limit_by',
  'limit',
  'to_all_devs',
  'to_hosts',
  'to_devices',
  'not_to_hosts',
  'not_to_devices',
  'to_percent_used',
  'to_percent_free',
  'to_space_used',
  'to_space_free',
  'use_dest_devs',
  'leave_in_drain_mode',
  'omg_even',
  'omg_even_by',
]);

const unitBytes = { b: 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40, p: 2 ** 50 } as const;

/** @throws BAD_REBAL_POL with the words of the original, or with what is wrong with a value. */
export function parseRebalancePolicy(text: string): RebalancePolicy {
  const values = new Map<string, string>();
  for (const part of text.split(/\s+/).filter((one) => one !== '')) {
    const at = part.indexOf('=');
    const name = at < 0 ? part : part.slice(0, at);
    if (!names.has(name)) throw refusal(`Invalid setting ${name}`);
    if (at < 0) throw refusal(`Setting ${name} has no value`);
    values.set(name, part.slice(at + 1));
  }
  const limitBy = oneOf(values, 'limit_by', ['none', 'size', 'count', 'percent']);
  const even = number(values, 'omg_even', 100);
  return {
    from: filterOf(values, 'from'),
    to: {
      ...filterOf(values, 'to'),
      notHosts: list(values, 'not_to_hosts'),
      notDevices: list(values, 'not_to_devices'),
    },
    newestFirst: oneOf(values, 'fid_age', ['old', 'new']) === 'new',
    limitType: oneOf(values, 'limit_type', ['device', 'global']),
    limitBy,
    limit: limitOf(values, limitBy),
    targetsMax: values.get('use_dest_devs') === 'all' ? undefined : targetsMaxOf(values),
    leaveInDrain: oneOf(values, 'leave_in_drain_mode', ['0', '1']) === '1',
    even,
    evenBy: oneOf(values, 'omg_even_by', ['usage', 'files']),
  };
}

/**
 * How `rebal_host` names a tracker that runs a policy. A tracker of the original works on a run
 * that carries its own host name, and cannot read a policy that evens out.
 */
export function rebalanceHost(hostname: string, policy: RebalancePolicy): string {
  return policy.even === undefined ? hostname : `${hostname}/omgfs`;
}

/** Ids that a policy names, so that unknown ones can be refused. */
export function idsIn(policy: RebalancePolicy): { hosts: number[]; devices: number[] } {
  const { from, to } = policy;
  return {
    hosts: [...from.hosts, ...to.hosts, ...to.notHosts],
    devices: [...from.devices, ...to.devices, ...to.notDevices],
  };
}

function filterOf(values: Values, side: 'from' | 'to'): DeviceFilter {
  return {
    hosts: list(values, `${side}_hosts`),
    devices: list(values, `${side}_devices`),
    percentUsed: number(values, `${side}_percent_used`, 100),
    percentFree: number(values, `${side}_percent_free`, 100),
    spaceUsed: number(values, `${side}_space_used`),
    spaceFree: number(values, `${side}_space_free`),
  };
}

function list(values: Values, name: string): number[] {
  const text = values.get(name);
  if (text === undefined || text === '') return [];
  return text.split(',').map((one) => {
    if (!/^\d{1,9}$/.test(one)) throw refusal(`Invalid value ${text} for ${name}: ids, not ${one}`);
    return Number(one);
  });
}

function number(values: Values, name: string, max = Number.MAX_SAFE_INTEGER): number | undefined {
  const text = values.get(name);
  if (text === undefined) return undefined;
  const value = /^\d{1,15}(?:\.\d{1,6})?$/.test(text) ? Number(text) : Number.NaN;
  if (value >= 0 && value <= max) return value;
  throw refusal(`Invalid value ${text} for ${name}: a number from 0 to ${max}`);
}

function oneOf<const Choice extends string>(
  values: Values,
  name: string,
  choices: readonly [Choice, ...Choice[]],
): Choice {
  const text = values.get(name) ?? choices[0];
  const choice = choices.find((one) => one === text);
  if (choice !== undefined) return choice;
  throw refusal(`Invalid value ${text} for ${name}: one of ${choices.join(', ')}`);
}

function targetsMaxOf(values: Values): number | undefined {
  const text = values.get('use_dest_devs');
  if (text === undefined) return undefined;
  if (/^[1-9]\d{0,4}$/.test(text)) return Number(text);
  throw refusal(`Invalid value ${text} for use_dest_devs: all, or a number above 0`);
}

function limitOf(values: Values, by: RebalancePolicy['limitBy']): number {
  const text = values.get('limit');
  if (by === 'none') return 0;
  if (text === undefined) throw refusal(`limit_by=${by} needs a limit`);
  const pattern = by === 'size' ? /^(\d{1,15})([bkmgtp]?)$/i : /^(\d{1,15})()$/;
  const match = pattern.exec(text);
  const unit = unitBytes[(match?.[2]?.toLowerCase() || 'b') as keyof typeof unitBytes];
  const limit = Number(match?.[1] ?? Number.NaN) * unit;
  const max = by === 'percent' ? 100 : Number.MAX_SAFE_INTEGER;
  if (limit > 0 && limit <= max) return limit;
  const wanted = { size: 'digits with an optional b, k, m, g, t or p', count: 'a number' };
  const hint = by === 'percent' ? 'a number from 1 to 100' : `${wanted[by]} above 0`;
  throw refusal(`Invalid value ${text} for limit: ${hint}`);
}

function refusal(wireText: string): OmgfsError {
  return new OmgfsError('BAD_REBAL_POL', { wireText, message: wireText });
}
