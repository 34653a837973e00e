/**
 * Replication policies by their stored text, `Name(arguments)` (spec §6.1). A text that this
 * version cannot follow is a value that says why: an adopted database may hold one, and its files
 * are kept as they are, never copied or trimmed on a guess.
 */
import type { PolicyAnswer, PolicyQuestion } from './contract.ts';
import { hostsPerNetwork } from './hosts-per-network.ts';
import type { FileClass } from './model.ts';
import { multipleDevices } from './multiple-devices.ts';
import { multipleHosts } from './multiple-hosts.ts';
import { multipleNetworks } from './multiple-networks.ts';
import { union } from './union.ts';

export type Policy = KnownPolicy | { known: false; reason: string };

interface KnownPolicy {
  known: true;
  name: string;
  /** Copies the policy itself asks for; undefined leaves it to the class. */
  min: number | undefined;
  /** `min` of the question is that of the class. */
  decide: (question: PolicyQuestion) => PolicyAnswer;
}

const counting = new Map([
  ['MultipleHosts', multipleHosts],
  ['MultipleDevices', multipleDevices],
  ['MultipleNetworks', multipleNetworks],
]);

/** Policies of a union may be unions again, up to so deep. */
const depthMax = 8;

/** As many texts as classes usually have, and more. */
const parsedMax = 1000;
const parsed = new Map<string | null, Policy>();

/** Parses the text of a policy; none, or a blank one, is `MultipleHosts()`. Never throws. */
export function parsePolicy(text: string | null): Policy {
  if (text === null || text.trim() === '') return parsePolicy('MultipleHosts()');
  // What follows the closing parenthesis is ignored.
  return parseCall(text, depthMax)?.policy ?? unparsable(text);
}

/** Asks the policy of a class. An unknown policy is `undecided`. */
export function askPolicy(
  { replpolicy, mindevcount }: Pick<FileClass, 'replpolicy' | 'mindevcount'>,
  question: Omit<PolicyQuestion, 'min'>,
): PolicyAnswer {
  const policy = policyOf(replpolicy);
  if (!policy.known) return { verdict: 'undecided', reason: policy.reason };
  const { holding, devices, failed, random } = question;
  return policy.decide({ holding, devices, failed, random, min: mindevcount });
}

/** As `parsePolicy`, which costs as much as the answer to a question. */
function policyOf(text: string | null): Policy {
  let policy = parsed.get(text);
  if (policy === undefined) {
    policy = parsePolicy(text);
    if (parsed.size >= parsedMax) parsed.clear();
    parsed.set(text, policy);
  }
  return policy;
}

/** Parses one `Name(…)` at the start; undefined where there is none. Blanks are free. */
function parseCall(text: string, depth: number): { policy: Policy; rest: string } | undefined {
  const open = /^\s*([A-Za-z0-9_:]+)\s*\(/.exec(text);
  if (open === null || depth === 0) return undefined;
  const name = (open[1] ?? '').replace(/^MogileFS::ReplicationPolicy::/, '');
  const inside = text.slice(open[0].length);
  if (name === 'Union') return parseUnion(inside, depth);
  const close = /^([^()]*)\)/.exec(inside);
  if (close === null) return undefined;
  const rest = inside.slice(close[0].length);
  return { policy: namedPolicy(name, (close[1] ?? '').trim()), rest };
}

function parseUnion(inside: string, depth: number): { policy: Policy; rest: string } | undefined {
  const parts: KnownPolicy[] = [];
  let rest = inside;
  for (;;) {
    const end = /^\s*\)/.exec(rest);
    if (end !== null) {
      const policy: Policy =
        parts.length === 0
          ? { known: false, reason: 'Replication policy Union needs policies to unite' }
          : knownUnion(parts);
      return { policy, rest: rest.slice(end[0].length) };
    }
    const part = parseCall(rest, depth - 1);
    if (part === undefined) return undefined;
    if (!part.policy.known) return part;
    parts.push(part.policy);
    const next = /^\s*(?:,|(?=\)))/.exec(part.rest);
    if (next === null) return undefined;
    rest = part.rest.slice(next[0].length);
  }
}

function knownUnion(parts: readonly KnownPolicy[]): KnownPolicy {
  const decides = parts.map(({ decide }) => decide);
  const decide = (question: PolicyQuestion) => union(decides, question);
  return { known: true, name: 'Union', min: undefined, decide };
}

function namedPolicy(name: string, argument: string): Policy {
  if (name === 'HostsPerNetwork') return zonePolicy(name, argument);
  const count = counting.get(name);
  if (count === undefined) {
    return { known: false, reason: `Replication policy ${name} is not installed` };
  }
  if (!/^\d{0,9}$/.test(argument)) {
    return { known: false, reason: `Replication policy ${name} takes a number, not ${argument}` };
  }
  const min = Number(argument) || undefined;
  const decide =
    min === undefined ? count : (question: PolicyQuestion) => count({ ...question, min });
  return { known: true, name, min, decide };
}

function zonePolicy(name: string, argument: string): Policy {
  const demands = new Map<string, number>();
  for (const part of argument.split(',').filter((text) => text.trim() !== '')) {
    const match = /^\s*([^\s=]+)\s*=\s*(\d{1,9})\s*$/.exec(part);
    if (match === null) {
      const reason = `Replication policy ${name} takes zone=number, not ${part.trim()}`;
      return { known: false, reason };
    }
    demands.set(match[1] ?? '', Number(match[2]));
  }
  // Files that no zone wants would have one copy for ever, without anybody having said so.
  if (![...demands.values()].some((wanted) => wanted > 0)) {
    return { known: false, reason: `Replication policy ${name} names no zone to have copies in` };
  }
  const decide = (question: PolicyQuestion) => hostsPerNetwork(demands, question);
  return { known: true, name, min: undefined, decide };
}

function unparsable(text: string): Policy {
  return { known: false, reason: `Replication policy cannot be parsed: ${text}` };
}
