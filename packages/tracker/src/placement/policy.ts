/**
 * Replication policies by their stored text, `Name(arguments)` (spec §6.1). A text that this
 * version cannot follow is a value that says why: an adopted database may hold one, and its files
 * are kept as they are, never copied or trimmed on a guess.
 */
import type { PolicyAnswer, PolicyQuestion } from './contract.ts';
import type { FileClass } from './model.ts';
import { multipleDevices } from './multiple-devices.ts';
import { multipleHosts } from './multiple-hosts.ts';

export type Policy =
  | {
      known: true;
      name: string;
      /** Copies the policy itself asks for; undefined leaves it to the class. */
      min: number | undefined;
      decide: (question: PolicyQuestion) => PolicyAnswer;
    }
  | { known: false; reason: string };

const installed = new Map([
  ['MultipleHosts', multipleHosts],
  ['MultipleDevices', multipleDevices],
]);

/** Blanks and newlines are free around tokens; what follows the parenthesis is ignored. */
const policyPattern = /^\s*([A-Za-z0-9_:]+)\s*\(([^()]*)\)/;
const unionPattern = /^\s*Union\s*\(/;

/** Parses the text of a policy; none, or a blank one, is `MultipleHosts()`. Never throws. */
export function parsePolicy(text: string | null): Policy {
  if (text === null || text.trim() === '') return parsePolicy('MultipleHosts()');
  if (unionPattern.test(text)) {
    return { known: false, reason: 'Replication policy Union is not installed' };
  }
  const match = policyPattern.exec(text);
  if (match === null) {
    return { known: false, reason: `Replication policy cannot be parsed: ${text}` };
  }
  const name = (match[1] ?? '').replace(/^MogileFS::ReplicationPolicy::/, '');
  const decide = installed.get(name);
  if (decide === undefined) {
    return { known: false, reason: `Replication policy ${name} is not installed` };
  }
  const argument = (match[2] ?? '').trim();
  if (!/^\d{0,9}$/.test(argument)) {
    return { known: false, reason: `Replication policy ${name} takes a number, not ${argument}` };
  }
  return { known: true, name, min: Number(argument) || undefined, decide };
}

/** Asks the policy of a class. An unknown policy is `undecided`. */
export function askPolicy(
  { replpolicy, mindevcount }: Pick<FileClass, 'replpolicy' | 'mindevcount'>,
  question: Omit<PolicyQuestion, 'min'>,
): PolicyAnswer {
  const policy = parsePolicy(replpolicy);
  if (!policy.known) return { verdict: 'undecided', reason: policy.reason };
  return policy.decide({ ...question, min: policy.min ?? mindevcount });
}
