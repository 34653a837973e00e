/** Whether the devices there are can hold files as a class wants them, in sentences. */
import type { FileClass } from '../../placement/model.ts';
import { parsePolicy } from '../../placement/policy.ts';
import type { CommandServices } from '../services.ts';

/** The first line says what the class wants; a second one whether that can be had now. */
export function explainClass(
  services: Pick<CommandServices, 'topology' | 'verdictOn'>,
  fileClass: FileClass,
): string[] {
  const { name, mindevcount, replpolicy } = fileClass;
  const obstacle = classObstacle(services, fileClass);
  return [
    `The class '${name}' wants ${mindevcount} copies by ${replpolicy || 'MultipleHosts()'}.`,
    obstacle === undefined
      ? 'The devices there are can hold its files so.'
      : `It cannot have them so now: ${obstacle}.`,
  ];
}

/**
 * Half a sentence, or undefined when there is none. Follows the policy with a file that is nowhere
 * yet; no device takes anything.
 */
export function classObstacle(
  { topology, verdictOn }: Pick<CommandServices, 'topology' | 'verdictOn'>,
  { dmid, classid, mindevcount, replpolicy }: FileClass,
): string | undefined {
  const file = { fid: 0, dmid, classid, dkey: '', length: 0, devcount: 0 };
  const devids: number[] = [];
  for (;;) {
    const answer = verdictOn({ ...file, devids });
    if (answer.verdict === 'undecided') return answer.reason;
    if (answer.verdict !== 'short') break;
    const [next] = [...answer.ideal, ...answer.desperate];
    if (next === undefined) return 'no device can take another copy';
    devids.push(next);
  }
  const policy = parsePolicy(replpolicy);
  const wanted = (policy.known ? policy.min : undefined) ?? mindevcount;
  if (devids.length < wanted) return `there are devices for ${devids.length} of ${wanted} copies`;
  const hosts = new Set(devids.map((devid) => topology.device(devid)?.hostid)).size;
  const partsHosts = policy.known && /^Multiple(?:Hosts|Networks)$/.test(policy.name);
  if (!partsHosts || hosts >= wanted) return undefined;
  return `there are ${hosts} hosts for ${wanted} copies, so some share a host`;
}
