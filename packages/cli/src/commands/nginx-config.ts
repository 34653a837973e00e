/** `omgfs nginx-config`: the reproxy configuration of nginx for the hosts of a cluster. */
import type { Admin } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import type { AnswersFor } from '../nginx/answers.ts';
import { targetsOf } from '../nginx/targets.ts';
import {
  checkNginxConfig,
  type NginxConfigOptions,
  targetsFile,
  writeNginxConfig,
} from '../nginx/write.ts';
import { printJson, printLine } from '../output.ts';

export interface NginxConfigFlags extends Omit<NginxConfigOptions, 'cache' | 'answers'> {
  out?: string;
  /** A directory. */
  cache?: string;
  cacheSize: string;
  /** A directory. */
  answerCache?: string;
  answerPath: string;
  answersFor: AnswersFor;
}

/**
 * Prints what depends on the cluster, or writes all files with `out`.
 * @throws FAILURE when there is no host; BAD_ARGS.
 */
export async function nginxConfigCommand(
  admin: Pick<Admin, 'hosts'>,
  flags: NginxConfigFlags & { json: boolean },
): Promise<void> {
  const { out, application, listen, keepalive, json, cacheSize } = flags;
  const cache = flags.cache === undefined ? undefined : { dir: flags.cache, size: cacheSize };
  const options = { application, listen, keepalive, cache, answers: answersOf(flags) };
  checkNginxConfig(options);
  if (application !== undefined && out === undefined) {
    throw new OmgfsError('BAD_ARGS', { message: '--application needs --out, a directory' });
  }
  if (out === undefined) {
    const targets = targetsOf(await admin.hosts());
    if (json) for (const target of targets) printJson(target);
    else process.stdout.write(targetsFile(targets, options));
    return;
  }
  const { files, targets } = await writeNginxConfig(admin, out, options);
  if (json) {
    printJson({ out, files, targets });
    return;
  }
  const nodes = `${targets.length} ${targets.length === 1 ? 'address' : 'addresses'}`;
  printLine(`${out}: ${files.join(', ')} for ${nodes} of storage nodes`);
  if (application === undefined) {
    printLine('Include omgfs-targets.conf in http { }, omgfs-reproxy.conf in server { }.');
  }
}

function answersOf(flags: NginxConfigFlags): NginxConfigOptions['answers'] {
  const { answerCache: dir, answerPath: path, answersFor: keptFor } = flags;
  return dir === undefined ? undefined : { dir, path, keptFor };
}
