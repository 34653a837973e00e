/** Ports for a local cluster: the wished one where it is free, else any. */
import { createServer } from 'node:net';
import { OmgfsError } from '@omgfs/protocol';

/** @returns `port`, or 0 (the system chooses) when something else listens there. */
export function portIfFree(host: string, port: number): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(0));
    probe.listen(port, host, () => probe.close(() => resolve(port)));
  });
}

/** Below what systems hand out by themselves, so that no connection takes one by chance. */
const commonPorts = { from: 10_240, count: 20_000 };
const attempts = 100;
/** Handed out by this process, whose clusters may not listen there yet. */
const given = new Set<number>();

/** @returns `wished` where it is free on every host, else another that is. */
export async function commonPort(
  hosts: readonly string[],
  wished: number | undefined,
): Promise<number> {
  for (let attempt = 0; attempt < attempts; attempt += 1) {
    const chosen = commonPorts.from + Math.floor(Math.random() * commonPorts.count);
    const port = attempt > 0 || wished === undefined ? chosen : wished;
    if (port !== wished && given.has(port)) continue;
    given.add(port);
    const free = await Promise.all(hosts.map((host) => portIfFree(host, port)));
    if (!free.includes(0)) return port;
  }
  throw new OmgfsError('FAILURE', { message: 'no port is free on every address' });
}
