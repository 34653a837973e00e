/** `omgfs up`: a whole cluster on this machine, until Ctrl-C. */
import { once } from 'node:events';
import { type LocalCluster, startLocalCluster } from '../local-cluster/local-cluster.ts';
import { printJson, printLine } from '../output.ts';

export interface UpOptions {
  json: boolean;
  dir: string;
  hosts: number;
  devices: number;
  domain: string;
  portBase: number;
}

export async function upCommand(options: UpOptions): Promise<void> {
  const { dir, hosts, devices: devicesPerHost, domain, portBase } = options;
  const cluster = await startLocalCluster({ dir, hosts, devicesPerHost, domain, portBase });
  if (options.json) printJson(describeCluster(cluster));
  else {
    printLine(`omgfs is up; its state is in ${cluster.dir}\n`);
    for (const line of clusterLines(cluster)) printLine(line);
    printLine('\nStop it with Ctrl-C.');
  }
  await untilInterrupted();
  if (!options.json) printLine('\nStopping.');
  await cluster.stop();
}

/** Resolves at the first Ctrl-C or SIGTERM. */
export async function untilInterrupted(): Promise<void> {
  // Something has to keep the process alive meanwhile.
  const alive = setInterval(() => {}, 3_600_000);
  await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
  clearInterval(alive);
}

export function describeCluster(cluster: LocalCluster) {
  return {
    dir: cluster.dir,
    domain: cluster.domain,
    trackers: cluster.trackers,
    hosts: cluster.hosts.map(({ name, ip, httpPort, docroot, devids, pid }) => {
      return { name, ip, httpPort, docroot, devids, pid };
    }),
  };
}

/** Addresses, and lines to copy and paste. */
export function clusterLines(cluster: LocalCluster): string[] {
  const tracker = cluster.trackers[0] ?? '';
  const [host = '', port = ''] = tracker.split(':');
  const flags = `--tracker ${tracker} --domain ${cluster.domain}`;
  return [
    ...cluster.trackers.map((address) => `  tracker  ${address}`),
    ...cluster.hosts.map(({ name, ip, httpPort, devids }) => {
      const devices = devids.map((devid) => `dev${devid}`).join(' ');
      return `  ${name.padEnd(7)}  http://${ip}:${httpPort}  ${devices}`;
    }),
    '',
    'Try, in another terminal:',
    `  echo hello | npx omgfs ${flags} put - greeting`,
    `  npx omgfs ${flags} info greeting`,
    `  npx omgfs ${flags} get greeting -`,
    `  printf 'get_paths domain=${cluster.domain}&key=greeting\\r\\n' | nc -q1 ${host} ${port}`,
  ];
}
