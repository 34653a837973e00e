/** The whole site on this machine: a cluster of three storage nodes, the application, and nginx. */
import { join } from 'node:path';
import { type FrontNginx, type LocalCluster, startFrontNginx, startLocalCluster } from '@omgfs/cli';
import { createAdmin } from '@omgfs/client';
import type { FastifyInstance } from 'fastify';
import { createServer } from '../server.ts';
import { thumbnailClass } from '../thumbnails/thumbnails.ts';

export interface SiteOptions {
  dir: string;
  domain: string;
  /** Wished port of nginx. */
  port: number;
  fileBytesMax: number;
  /** Ends the start. */
  signal: AbortSignal;
  onUnexpectedEnd: (message: string) => void;
}

export interface Site {
  url: string;
  cluster: LocalCluster;
  stop(): Promise<void>;
}

/** @throws FAILURE with what did not start; what had started is stopped. */
export async function startSite(options: SiteOptions): Promise<Site> {
  const { dir, domain, port, fileBytesMax, signal, onUnexpectedEnd } = options;
  const common = { dir, domain, signal, onUnexpectedEnd };
  const cluster = await startLocalCluster({ ...common, hosts: 3, devicesPerHost: 1 });
  let server: FastifyInstance | undefined;
  let nginx: FrontNginx | undefined;
  const stop = async () => {
    await nginx?.stop();
    await server?.close();
    await cluster.stop();
  };
  try {
    await createThumbnailClass(cluster);
    server = createServer({ trackers: cluster.trackers, domain, fileBytesMax });
    const application = await server.listen({ host: '127.0.0.1', port: 0 });
    nginx = await startFrontNginx({
      dir: join(cluster.dir, 'nginx'),
      trackers: cluster.trackers,
      application: new URL(application).host,
      port,
      onUnexpectedEnd,
    });
    signal.throwIfAborted();
    return { url: `${nginx.url}/`, cluster, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** As `omgfs admin class add uploads thumb --mindevcount 1` does it. */
async function createThumbnailClass({ trackers, domain }: LocalCluster): Promise<void> {
  const admin = createAdmin({ trackers });
  try {
    const known = (await admin.domains()).find(({ name }) => name === domain);
    if (known?.classes.some(({ name }) => name === thumbnailClass)) return;
    await admin.createClass({ domain, name: thumbnailClass, mindevcount: 1 });
  } finally {
    await admin.close();
  }
}
