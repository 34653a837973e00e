/** Writes the reproxy configuration for the hosts of a cluster into a directory. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Admin } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import { hopConf, nginxConf, reproxyConf } from './files.ts';
import { type Target, targetsConf, targetsOf } from './targets.ts';

export interface NginxConfigOptions {
  /** `host:port` of the application; with it a whole `nginx.conf` is written. */
  application?: string | undefined;
  /** Where that nginx listens, as its `listen` directive has it. */
  listen: string;
  /** Idle connections to each storage node that a worker keeps. */
  keepalive: number;
}

/** @throws BAD_ARGS for what is no address: it becomes part of a configuration. */
export function checkNginxConfig({ application, listen }: NginxConfigOptions): void {
  checkAddress(listen, /^(?:[\w.-]+:)?\d{1,5}$/);
  if (application !== undefined) checkAddress(application, /^[\w.-]+:\d{1,5}$/);
}

/**
 * @returns the names of the files, and the storage nodes that they lead to.
 * @throws FAILURE when there is no host; BAD_ARGS.
 */
export async function writeNginxConfig(
  admin: Pick<Admin, 'hosts'>,
  out: string,
  options: NginxConfigOptions,
): Promise<{ files: string[]; targets: Target[] }> {
  checkNginxConfig(options);
  const { application, listen, keepalive } = options;
  const targets = targetsOf(await admin.hosts());
  const files: Record<string, string> = {
    'omgfs-targets.conf': targetsConf(targets, { keepalive }),
    'omgfs-reproxy.conf': reproxyConf,
    'omgfs-reproxy-hop.conf': hopConf,
    ...(application === undefined ? {} : { 'nginx.conf': nginxConf({ application, listen }) }),
  };
  await mkdir(out, { recursive: true });
  for (const [name, text] of Object.entries(files)) await replaceFile(join(out, name), text);
  return { files: Object.keys(files), targets };
}

/** Never half written: nginx may be told to read it at any time. */
async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, text);
  await rename(temporary, path);
}

function checkAddress(address: string, pattern: RegExp): void {
  if (pattern.test(address)) return;
  throw new OmgfsError('BAD_ARGS', { message: `'${address}' is no address like 127.0.0.1:8080` });
}
