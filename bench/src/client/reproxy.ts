/**
 * Downloads through nginx that fetches from storage nodes, told by an application where from,
 * beside an nginx that reads the same files from the same disk itself.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { startFrontNginx } from '@omgfs/cli';
import type { Cleanup } from '../cleanup.ts';
import { domain, type JobSite } from '../jobs/job-site.ts';
import { startNginx } from '../limits/nginx.ts';
import { HttpPool } from '../load/http-connection.ts';
import type { Session } from '../load/turn.ts';
import { endProcess } from '../local/processes.ts';
import type { NamedProcess } from '../report/processes.ts';
import { type Comparison, compareRates, medianCosts, type Rate, rateOf } from './compare.ts';
import { clientOf } from './files.ts';

export interface ReproxyOptions {
  keys: readonly string[];
  bytes: number;
  callers: number;
  rounds: number;
  seconds: number;
  /** Whether nginx keeps what it fetched. */
  cache: boolean;
  /** Whether nginx keeps what the application answered, for as long as that allows. */
  answers: boolean;
}

export interface ReproxyRates extends Comparison {
  /** Median processor time of a file in microseconds, by name of the process. */
  cpuMicros: Record<string, number>;
  bareCpuMicros: Record<string, number>;
}

/** @param cleanup ends what is started here. */
export async function measureReproxy(
  site: JobSite,
  cleanup: Cleanup,
  options: ReproxyOptions,
): Promise<ReproxyRates> {
  const { bytes, callers, rounds, seconds, cache, answers } = options;
  const { hosts, trackers } = site.cluster;
  const application = await startApplication(site, cleanup);
  const front = await startFrontNginx({
    dir: join(site.dir, 'nginx'),
    ...{ trackers, application: application.address, port: 0 },
    cache: cache ? { dir: 'cache', size: '1g' } : undefined,
    answers: answers ? { dir: 'answers', path: '/files/', keptFor: 'everyone' } : undefined,
  });
  cleanup.add(() => front.stop());
  const nginx = await startNginx(hosts.map(({ docroot }) => docroot));
  cleanup.add(() => nginx.stop());
  const direct = await directUrls(site, options.keys, nginx.origins);
  const reproxied = options.keys.map((key) => `${front.url}/files/${key}`);
  const measure = async (urls: readonly string[], processes: NamedProcess[]) => {
    const pool = new HttpPool();
    const session: Session = {
      run: () => pool.get(urls[Math.floor(Math.random() * urls.length)] ?? '', bytes),
      close: async () => {},
    };
    return await rateOf(session, { callers, seconds, processes }).finally(() => pool.close());
  };
  const load: NamedProcess = { name: 'load tool', pid: process.pid, alone: true };
  const chain: NamedProcess[] = [
    load,
    { name: 'nginx', pid: front.pid },
    { name: 'application', pid: application.pid },
    { name: 'tracker', pid: site.trackerPid },
    ...hosts.map(({ pid }) => ({ name: 'storage nodes', pid: pid ?? 0 })),
  ];
  const costs: { ours: Rate['cpuMicros'][]; bare: Rate['cpuMicros'][] } = { ours: [], bare: [] };
  const kept = [...(cache ? ['files'] : []), ...(answers ? ['answers'] : [])].join(' and ');
  const way = kept === '' ? 'nginx and the nodes' : `nginx that keeps ${kept}`;
  const name = `GET of ${bytes} bytes through ${way}, ${callers} at once`;
  const comparison = await compareRates(
    { name, unit: 'files', target: 0.5, rounds },
    {
      ours: async () => {
        const { perSecond, cpuMicros } = await measure(reproxied, chain);
        costs.ours.push(cpuMicros);
        return perSecond;
      },
      bare: async () => {
        const { perSecond, cpuMicros } = await measure(direct, [
          load,
          { name: 'nginx', pid: nginx.pid },
        ]);
        costs.bare.push(cpuMicros);
        return perSecond;
      },
    },
  );
  return {
    ...comparison,
    cpuMicros: medianCosts(costs.ours),
    bareCpuMicros: medianCosts(costs.bare),
  };
}

/** A process of its own, as applications are. */
async function startApplication(
  site: JobSite,
  cleanup: Cleanup,
): Promise<{ address: string; pid: number }> {
  const script = fileURLToPath(new URL('../bin/reproxy-application.js', import.meta.url));
  // As an application on the machine of its proxy does best.
  const socket = join(site.dir, 'application.sock');
  const child = spawn(process.execPath, [script, socket, domain, ...site.cluster.trackers], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  cleanup.add(() => endProcess(child, 'SIGTERM'));
  await once(createInterface({ input: child.stdout }), 'line');
  return { address: `unix:${socket}`, pid: child.pid ?? 0 };
}

/** The address of each file at the nginx that serves the disk of its node. */
async function directUrls(
  site: JobSite,
  keys: readonly string[],
  origins: readonly string[],
): Promise<string[]> {
  const client = clientOf(site);
  const urls: string[] = [];
  for (const key of keys) {
    const { host, pathname } = new URL((await client.paths(key))[0] ?? '');
    const at = site.cluster.hosts.findIndex(({ ip, httpPort }) => `${ip}:${httpPort}` === host);
    urls.push(`http://${origins[at]}${pathname}`);
  }
  await client.close();
  return urls;
}
