/**
 * The bare limit of serving files: a private nginx on loopback over the docroots of the storage
 * nodes, one port a docroot, plain sendfile without descriptor cache.
 */
import { spawn } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { endProcess, findProgram, freePort, waitFor } from '../local/processes.ts';

export interface Nginx {
  pid: number;
  /** Address that serves each docroot, in the order given. */
  origins: string[];
  stop(): Promise<void>;
}

/** Starts nginx. @throws Error when it is not installed or does not start. */
export async function startNginx(
  docroots: readonly string[],
  { processes = 'auto', dav = false }: { processes?: number | 'auto'; dav?: boolean } = {},
): Promise<Nginx> {
  const dir = await mkdtemp(join(tmpdir(), 'omgfs-bench-nginx-'));
  const servers: { root: string; port: number }[] = [];
  for (const root of docroots) servers.push({ root, port: await freePort() });
  const config = join(dir, 'nginx.conf');
  await writeFile(config, configText(dir, { servers, processes, dav }));
  const child = spawn(findProgram('nginx'), ['-c', config, '-e', join(dir, 'error.log')], {
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  let failure: Error | undefined;
  child.once('error', (error) => (failure = error));
  await waitFor('nginx listens', async () => {
    if (failure !== undefined) throw failure;
    if (child.exitCode !== null) throw new Error(`nginx ended with status ${child.exitCode}`);
    return accepts(servers[0]?.port ?? 0);
  });
  return {
    pid: child.pid ?? 0,
    origins: servers.map(({ port }) => `127.0.0.1:${port}`),
    stop: async () => {
      await endProcess(child, 'SIGTERM');
      await rm(dir, { recursive: true, force: true });
    },
  };
}

function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect({ host: '127.0.0.1', port });
    probe.once('error', () => resolve(false));
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
  });
}

interface Facts {
  servers: readonly { root: string; port: number }[];
  processes: number | 'auto';
  dav: boolean;
}

function configText(dir: string, { servers, processes, dav }: Facts): string {
  // Started as root, its workers would drop to a user who may not read the docroots.
  const user = process.getuid?.() === 0 ? 'user root;' : '';
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((name) => `${name}_temp_path ${join(dir, name)};`)
    .join(' ');
  const methods = dav
    ? 'dav_methods PUT DELETE; create_full_put_path on; client_max_body_size 0;'
    : '';
  const blocks = servers.map(({ root, port }) => {
    // Bodies next to where they belong, so that moving them is a rename, as the original does.
    const bodies = dav ? `client_body_temp_path ${root}/dev1/.tmp-nginx;` : '';
    return `server { listen 127.0.0.1:${port}; root ${root}; ${methods} ${bodies} }`;
  });
  return `${user} daemon off; worker_processes ${processes}; pid ${join(dir, 'pid')};
events { worker_connections 1024; }
http {
  access_log off; sendfile on; tcp_nopush on; default_type application/octet-stream;
  keepalive_requests 1000000000; ${temporary}
  ${blocks.join('\n  ')}
}
`;
}
