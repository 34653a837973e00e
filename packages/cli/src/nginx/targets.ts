/**
 * The storage nodes of a cluster as nginx needs them: an `upstream` block for each address, because
 * nginx keeps connections open only to those, and maps from the URL of a replica to its block. A
 * URL that no map knows becomes empty, so the maps also say where an application may lead.
 */
import { isIP } from 'node:net';
import type { HostInfo } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';

export interface Target {
  host: string;
  ip: string;
  /** Port for reads. */
  port: number;
  /** Name of the upstream block. */
  upstream: string;
}

/**
 * Every address that trackers hand out for reads; dead hosts have none.
 * @throws FAILURE without a host, and for an address that is none: it would become configuration.
 */
export function targetsOf(hosts: readonly HostInfo[]): Target[] {
  const targets = new Map<string, Target>();
  for (const { name, status, ip, altip, port, getport } of hosts) {
    if (status === 'dead') continue;
    const readPort = getport || port;
    for (const address of [ip, altip]) {
      if (address === null || address === '') continue;
      if (isIP(address) !== 4 || !Number.isInteger(readPort) || readPort < 1 || readPort > 65_535) {
        const message = `host '${name}' has the address '${address}:${readPort}', which is none`;
        throw new OmgfsError('FAILURE', { message: `${message}; see 'omgfs admin host modify'` });
      }
      const key = `${address}:${readPort}`;
      const upstream = `omgfs-${targets.size + 1}`;
      if (!targets.has(key))
        targets.set(key, { host: name, ip: address, port: readPort, upstream });
    }
  }
  if (targets.size > 0) return [...targets.values()];
  const message = "the cluster has no storage node yet; add one with 'omgfs admin host add'";
  throw new OmgfsError('FAILURE', { message });
}

/**
 * The part of the configuration that changes with the cluster, for the `http` block. With
 * `asksAgain` one request may go by two answers of the application.
 */
export function targetsConf(
  targets: readonly Target[],
  { keepalive, asksAgain }: { keepalive: number; asksAgain: boolean },
): string {
  return [
    "# Storage nodes, written by 'omgfs nginx-config'. Write it anew when hosts come or go.",
    '# An application can lead nginx to no other address.\n',
    ...targets.map((target) => upstreamOf(target, keepalive)),
    ...[1, 2, 3].map((hop) => mapOf(targets, { hop, asksAgain })),
  ].join('\n');
}

function upstreamOf({ host, ip, port, upstream }: Target, keepalive: number): string {
  return [
    `# ${host.replace(/[^\w.-]/g, '?')}`,
    `upstream ${upstream} {`,
    `  server ${ip}:${port};`,
    `  keepalive ${keepalive};`,
    '}\n',
  ].join('\n');
}

function mapOf(
  targets: readonly Target[],
  { hop, asksAgain }: { hop: number; asksAgain: boolean },
): string {
  const again = asksAgain ? ['  volatile;'] : [];
  const lines = targets.map(({ ip, port, upstream }) => {
    const address = ip.replaceAll('.', '\\.') + (port === 80 ? '(?::80)?' : `:${port}`);
    return `  "~^http://${address}(/.*)$" http://${upstream}$1;`;
  });
  return [`map $reproxy_url_${hop} $reproxy_${hop} {`, ...again, ...lines, '}\n'].join('\n');
}
