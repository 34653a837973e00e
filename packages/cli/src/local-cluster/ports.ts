/** Ports for a local cluster: the wished one where it is free, else any. */
import { createServer } from 'node:net';

/** @returns `port`, or 0 (the system chooses) when something else listens there. */
export function portIfFree(host: string, port: number): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once('error', () => resolve(0));
    probe.listen(port, host, () => probe.close(() => resolve(port)));
  });
}
