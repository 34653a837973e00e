/** `omgfs up`: a whole cluster on this machine, until Ctrl-C. */
import { untilAborted, withInterrupt } from '../interrupt.ts';
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

/** @throws FAILURE when it does not start; Interrupted when a Ctrl-C came before it was up. */
export async function upCommand(options: UpOptions): Promise<void> {
  const { json, devices: devicesPerHost, ...rest } = options;
  await withInterrupt(async (signal) => {
    const wish = { ...rest, devicesPerHost, signal, onUnexpectedEnd: warn };
    await using cluster = await startLocalCluster(wish);
    if (json) printJson(describeCluster(cluster));
    else {
      printLine(`omgfs is up; its state and logs are in ${cluster.dir}\n`);
      for (const line of clusterLines(cluster)) printLine(line);
      printLine('\nStop it with Ctrl-C.');
    }
    await untilAborted(signal);
    if (!json) printLine('\nStopping.');
  });
}

/** Says that a daemon is gone; the others go on without it. */
export function warn(message: string): void {
  process.stderr.write(`omgfs: ${message}\n`);
}

function describeCluster(cluster: LocalCluster) {
  return {
    dir: cluster.dir,
    domain: cluster.domain,
    trackers: cluster.trackers,
    apis: cluster.apis,
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
    ...cluster.trackers.map((address, index) => `  tracker  ${address}  ${cluster.apis[index]}`),
    ...cluster.hosts.map(({ name, ip, httpPort, devids }) => {
      const devices = devids.map((devid) => `dev${devid}`).join(' ');
      return `  ${name.padEnd(7)}  http://${ip}:${httpPort}  ${devices}`;
    }),
    '',
    'Try, in another terminal:',
    `  echo hello | npx omgfs ${flags} put - greeting`,
    `  npx omgfs ${flags} info greeting`,
    `  npx omgfs ${flags} get greeting -`,
    `  curl -s ${cluster.apis[0]}/v1/devices`,
    `  printf 'get_paths domain=${cluster.domain}&key=greeting\\r\\n' | nc -q1 ${host} ${port}`,
  ];
}
