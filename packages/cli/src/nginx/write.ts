/** Writes the reproxy configuration for the hosts of a cluster into a directory. */
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Admin } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import {
  type AnswerCache,
  answersConf,
  answersHopConf,
  answersHttpConf,
  askConf,
  checkAnswerCache,
} from './answers.ts';
import { cacheHopConf, cacheHttpConf, checkCache, type NginxCache } from './cache.ts';
import { hopConf, nginxConf, reproxyConf } from './files.ts';
import { type Target, targetsConf, targetsOf } from './targets.ts';

export interface NginxConfigOptions {
  /** `host:port` or `unix:/path` of the application; with it a whole `nginx.conf` is written. */
  application?: string | undefined;
  /** Where that nginx listens, as its `listen` directive has it. */
  listen: string;
  /** Idle connections to each storage node that a worker keeps. */
  keepalive: number;
  cache?: NginxCache | undefined;
  answers?: AnswerCache | undefined;
}

/** @throws BAD_ARGS for what is no address: it becomes part of a configuration. */
export function checkNginxConfig(options: NginxConfigOptions): void {
  const { application, listen, cache, answers } = options;
  if (cache !== undefined) checkCache(cache);
  if (answers !== undefined) checkAnswerCache(answers);
  checkAddress(listen, /^(?:[\w.-]+:)?\d{1,5}$/);
  if (application !== undefined) checkAddress(application, /^(?:[\w.-]+:\d{1,5}|unix:\/[\w./-]+)$/);
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
  const { application, listen, cache, answers } = options;
  const targets = targetsOf(await admin.hosts());
  const files: Record<string, string> = {
    'omgfs-targets.conf': targetsFile(targets, options),
    'omgfs-reproxy.conf': answers === undefined ? reproxyConf : askingAgain(reproxyConf),
    'omgfs-reproxy-hop.conf': hopFile(options),
  };
  if (application !== undefined) {
    files['nginx.conf'] = nginxConf({ application, listen, cache, answers });
  }
  if (answers !== undefined) {
    files['omgfs-answers.conf'] = answersConf(answers);
    files['omgfs-ask.conf'] = askConf;
  }
  await mkdir(out, { recursive: true });
  for (const [name, text] of Object.entries(files)) await replaceFile(join(out, name), text);
  return { files: Object.keys(files), targets };
}

type Caches = Pick<NginxConfigOptions, 'keepalive' | 'cache' | 'answers'>;

/** What depends on the cluster, and what is kept. */
export function targetsFile(targets: readonly Target[], options: Caches): string {
  const { keepalive, cache, answers } = options;
  const parts = [targetsConf(targets, { keepalive, asksAgain: answers !== undefined })];
  if (cache !== undefined) parts.push(cacheHttpConf(cache));
  if (answers !== undefined) parts.push(answersHttpConf(answers));
  return parts.join('\n');
}

function hopFile({ cache, answers }: Caches): string {
  const text = answers === undefined ? hopConf : hopConf + answersHopConf;
  if (cache === undefined) return text;
  // nginx takes the directive once.
  return (
    text.replace(/^# A stored file cannot steer.*\nproxy_ignore_headers .*\n\n/m, '') + cacheHopConf
  );
}

/** The last hop leads back to the application when what it went by was kept. */
function askingAgain(reproxy: string): string {
  const again =
    'proxy_intercept_errors on;\n  error_page 404 500 502 503 504 = @reproxy_again;\n  ';
  return reproxy.replace('proxy_pass $reproxy_3;', `${again}$&`);
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
