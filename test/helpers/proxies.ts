/** Real nginx and Perlbal in front of an application, each in a directory of its own. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { request } from 'undici';
import { guard } from './mariadb.ts';
import { freePort } from './ports.ts';
import { until } from './wait.ts';

export interface FrontProxy {
  /** `http://127.0.0.1:port`. */
  url: string;
  stop(): Promise<void>;
}

const deployDir = fileURLToPath(new URL('../../deploy/nginx/', import.meta.url));

/** nginx with the files of `deploy/nginx`, its ports changed. */
export async function startNginx(application: string): Promise<FrontProxy> {
  const dir = await mkdtemp(join(tmpdir(), 'omgfs-nginx-'));
  const port = await freePort();
  await cp(deployDir, dir, { recursive: true });
  const sample = await readFile(join(deployDir, 'nginx.conf'), 'utf8');
  const config = sample
    .replace('127.0.0.1:8080', application.replace('http://', ''))
    .replace('listen 8000;', `listen 127.0.0.1:${port};`);
  await writeFile(join(dir, 'nginx.conf'), config);
  return startNginxIn(dir, port);
}

/** nginx with the `nginx.conf` of a directory, which is removed in the end. */
export function startNginxIn(dir: string, port: number): Promise<FrontProxy> {
  const where = ['-p', dir, '-c', join(dir, 'nginx.conf'), '-e', 'stderr'];
  const child = spawn('nginx', [...where, '-g', 'daemon off;'], {
    stdio: 'ignore',
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin` },
  });
  return ready({ child, dir, port });
}

/** Perlbal with reproxying on, as spec §6.1 of the reproxy notes describes it. */
export async function startPerlbal(application: string): Promise<FrontProxy> {
  const dir = await mkdtemp(join(tmpdir(), 'omgfs-perlbal-'));
  const port = await freePort();
  await writeFile(
    join(dir, 'perlbal.conf'),
    [
      'CREATE POOL application',
      `  POOL application ADD ${application.replace('http://', '')}`,
      'CREATE SERVICE web',
      '  SET role = reverse_proxy',
      `  SET listen = 127.0.0.1:${port}`,
      '  SET pool = application',
      '  SET enable_reproxy = true',
      '  SET persist_client = on',
      'ENABLE web',
      '',
    ].join('\n'),
  );
  const child = spawn('perlbal', [`--config=${join(dir, 'perlbal.conf')}`], { stdio: 'ignore' });
  return ready({ child, dir, port });
}

async function ready(proxy: {
  child: ChildProcess;
  dir: string;
  port: number;
}): Promise<FrontProxy> {
  const { child, dir, port } = proxy;
  const url = `http://127.0.0.1:${port}`;
  if (child.pid !== undefined) guard(child.pid, 'TERM');
  await until('the proxy to answer', async () => {
    if (child.exitCode !== null) throw new Error(`it ended with code ${child.exitCode}`);
    const { statusCode, body } = await request(`${url}/files/none`);
    await body.dump();
    return statusCode === 404;
  });
  return {
    url,
    stop: async () => {
      const ended = once(child, 'exit');
      child.kill('SIGTERM');
      await ended;
      await rm(dir, { recursive: true, force: true });
    },
  };
}
