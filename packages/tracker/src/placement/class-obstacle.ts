/** Whether the devices there are can hold files as a class wants them. Pure. */
import type { PolicyAnswer } from './contract.ts';
import type { FileClass } from './model.ts';
import { parsePolicy } from './policy.ts';

/**
 * Follows the policy with a file that is nowhere yet; no device takes anything.
 * @param on.ask says what the policy wants of a file on these devices.
 * @returns half a sentence on what is in the way, or undefined when nothing is.
 */
export function classObstacle(
  { mindevcount, replpolicy }: Pick<FileClass, 'mindevcount' | 'replpolicy'>,
  on: {
    ask: (devids: number[]) => PolicyAnswer;
    hostOf: (devid: number) => number | undefined;
  },
): string | undefined {
  const devids: number[] = [];
  for (;;) {
    const answer = on.ask(devids);
    if (answer.verdict === 'undecided') return answer.reason;
    if (answer.verdict !== 'short') break;
    const [next] = [...answer.ideal, ...answer.desperate];
    if (next === undefined) return 'no device can take another copy';
    devids.push(next);
  }
  const policy = parsePolicy(replpolicy);
  const wanted = (policy.known ? policy.min : undefined) ?? mindevcount;
  if (devids.length < wanted) return `there are devices for ${devids.length} of ${wanted} copies`;
  const hosts = new Set(devids.map(on.hostOf)).size;
  const partsHosts = policy.known && /^Multiple(?:Hosts|Networks)$/.test(policy.name);
  if (!partsHosts || hosts >= wanted) return undefined;
  return `there are ${hosts} hosts for ${wanted} copies, so some share a host`;
}
