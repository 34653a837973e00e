/** Writes the reproxy configuration for the hosts of a cluster into a directory. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Admin } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import { cacheHopConf, cacheHttpConf, checkCache, type NginxCache } from './cache.ts';
import { hopConf, nginxConf, reproxyConf } from './files.ts';
import { type Target, targetsConf, targetsOf } from './targets.ts';

export interface NginxConfigOptions {
  /** `host:port` of the application; with it a whole `nginx.conf` is written. */
  application?: string | undefined;
  /** Where that nginx listens, as its `listen` directive has it. */
  listen: string;
  /** Idle connections to each storage node that a worker keeps. */
  keepalive: number;
  cache?: NginxCache | undefined;
}

/** @throws BAD_ARGS for what is no address: it becomes part of a configuration. */
export function checkNginxConfig({ application, listen, cache }: NginxConfigOptions): void {
  if (cache !== undefined) checkCache(cache);
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
  const { application, listen, keepalive, cache } = options;
  const targets = targetsOf(await admin.hosts());
  const files: Record<string, string> = {
    'omgfs-targets.conf': targetsFile(targets, { keepalive, cache }),
    'omgfs-reproxy.conf': reproxyConf,
    'omgfs-reproxy-hop.conf': hopFile(cache),
  };
  if (application !== undefined) {
    files['nginx.conf'] = nginxConf({ application, listen, cache });
  }
  await mkdir(out, { recursive: true });
  for (const [name, text] of Object.entries(files)) await replaceFile(join(out, name), text);
  return { files: Object.keys(files), targets };
}

/** What depends on the cluster, and the cache that its files are kept in. */
export function targetsFile(
  targets: readonly Target[],
  { keepalive, cache }: Pick<NginxConfigOptions, 'keepalive' | 'cache'>,
): string {
  const text = targetsConf(targets, { keepalive });
  return cache === undefined ? text : `${text}\n${cacheHttpConf(cache)}`;
}

function hopFile(cache: NginxCache | undefined): string {
  if (cache === undefined) return hopConf;
  // nginx takes the directive once.
  return (
    hopConf.replace(/^# A stored file cannot steer.*\nproxy_ignore_headers .*\n\n/m, '') +
    cacheHopConf
  );
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
