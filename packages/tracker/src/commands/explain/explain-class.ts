/** Whether the devices there are can hold files as a class wants them, in sentences. */
import { classObstacle } from '../../placement/class-obstacle.ts';
import type { FileClass } from '../../placement/model.ts';
import type { CommandServices } from '../services.ts';

/** The first line says what the class wants; a second one whether that can be had now. */
export function explainClass(
  services: Pick<CommandServices, 'topology' | 'verdictOn'>,
  fileClass: FileClass,
): string[] {
  const { name, mindevcount, replpolicy } = fileClass;
  const obstacle = obstacleOf(services, fileClass);
  return [
    `The class '${name}' wants ${mindevcount} copies by ${replpolicy || 'MultipleHosts()'}.`,
    obstacle === undefined
      ? 'The devices there are can hold its files so.'
      : `It cannot have them so now: ${obstacle}.`,
  ];
}

/** Half a sentence, or undefined when there is none. */
export function obstacleOf(
  { topology, verdictOn }: Pick<CommandServices, 'topology' | 'verdictOn'>,
  fileClass: FileClass,
): string | undefined {
  const { dmid, classid } = fileClass;
  const file = { fid: 0, dmid, classid, dkey: '', length: 0, devcount: 0 };
  return classObstacle(fileClass, {
    ask: (devids) => verdictOn({ ...file, devids }),
    hostOf: (devid) => topology.device(devid)?.hostid,
  });
}
