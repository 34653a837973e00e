/** `omgfs nginx-config`: the reproxy configuration of nginx for the hosts of a cluster. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Admin } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import { hopConf, nginxConf, reproxyConf } from '../nginx/files.ts';
import { targetsConf, targetsOf } from '../nginx/targets.ts';
import { printJson, printLine } from '../output.ts';

export interface NginxConfigFlags {
  out?: string;
  application?: string;
  listen: string;
  keepalive: number;
}

/**
 * Prints what depends on the cluster, or writes all files with `out`.
 * @throws FAILURE when there is no host; BAD_ARGS.
 */
export async function nginxConfigCommand(
  admin: Pick<Admin, 'hosts'>,
  flags: NginxConfigFlags & { json: boolean },
): Promise<void> {
  const { out, application, listen, keepalive, json } = flags;
  checkAddress(listen, /^(?:[\w.-]+:)?\d{1,5}$/);
  if (application !== undefined) checkAddress(application, /^[\w.-]+:\d{1,5}$/);
  if (application !== undefined && out === undefined) {
    throw new OmgfsError('BAD_ARGS', { message: '--application needs --out, a directory' });
  }
  const targets = targetsOf(await admin.hosts());
  const changing = targetsConf(targets, { keepalive });
  if (out === undefined) {
    if (json) for (const target of targets) printJson(target);
    else process.stdout.write(changing);
    return;
  }
  const files: Record<string, string> = {
    'omgfs-targets.conf': changing,
    'omgfs-reproxy.conf': reproxyConf,
    'omgfs-reproxy-hop.conf': hopConf,
    ...(application === undefined ? {} : { 'nginx.conf': nginxConf({ application, listen }) }),
  };
  await mkdir(out, { recursive: true });
  for (const [name, text] of Object.entries(files)) await replaceFile(join(out, name), text);
  if (json) {
    printJson({ out, files: Object.keys(files), targets });
    return;
  }
  const nodes = `${targets.length} ${targets.length === 1 ? 'address' : 'addresses'}`;
  printLine(`${out}: ${Object.keys(files).join(', ')} for ${nodes} of storage nodes`);
  if (application === undefined) {
    printLine('Include omgfs-targets.conf in http { }, omgfs-reproxy.conf in server { }.');
  }
}

/** Never half written: nginx may be told to read it at any time. */
async function replaceFile(path: string, text: string): Promise<void> {
  const temporary = `${path}.${process.pid}.tmp`;
  await writeFile(temporary, text);
  await rename(temporary, path);
}

/** It becomes part of a configuration. */
function checkAddress(address: string, pattern: RegExp): void {
  if (pattern.test(address)) return;
  throw new OmgfsError('BAD_ARGS', { message: `'${address}' is no address like 127.0.0.1:8080` });
}
