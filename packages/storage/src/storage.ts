/**
 * The storage node: puts devices and the HTTP server together. It promises that a stored file is
 * durable, that nothing half-written is seen, and that a wrong disk is refused (I1, I3, I6).
 */
import { userInfo } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { OmgfsError } from '@omgfs/protocol';
import type { AccessRules } from './access/access.ts';
import { type StorageConfig, storageDefaults } from './config.ts';
import type { DeviceDav } from './dav/dav.ts';
import { Buffers } from './device/buffers.ts';
import { Devices } from './device/devices.ts';
import { Scrubs } from './integrity/scrubs.ts';
import { createLog, type Log } from './log.ts';
import { MetricsServer } from './metrics/metrics-server.ts';
import { nodeMetrics } from './metrics/node-metrics.ts';
import { RequestCounts } from './metrics/request-counts.ts';
import { Nginx } from './nginx/nginx.ts';
import { Pieces } from './pieces/pieces.ts';
import { StorageServer } from './server.ts';
import { kernelFiles } from './side-channel/block-devices.ts';
import { Digests } from './side-channel/digests.ts';
import { SideChannel } from './side-channel/side-channel.ts';
import { Utilization } from './side-channel/utilization.ts';

/** What a node can be given; all but the docroot have defaults. */
export type StorageOptions = Partial<StorageConfig> & Pick<StorageConfig, 'docroot'>;

export interface StorageNode {
  /** Starts to serve. @throws errors of the system when the address cannot be used. */
  listen(): Promise<void>;
  /** Stops listening, lets requests in flight finish for a bounded time, and ends. */
  close(): Promise<void>;
  /** Devices on whose disks threads are in a call now; an exit would wait for these. */
  readonly busyDevids: readonly number[];
  readonly httpHost: string;
  /** The real port once `listen` has resolved. */
  readonly httpPort: number;
  /** The real port for TLS once `listen` has resolved; undefined without one. */
  readonly tlsPort: number | undefined;
  /** The real port of `/metrics` once `listen` has resolved; undefined without one. */
  readonly metricsPort: number | undefined;
  /** The real port of the side channel once `listen` has resolved; undefined without one. */
  readonly managementPort: number | undefined;
}

export interface StorageHooks {
  log?: Log;
  /** An operator asked for a stop on the side channel. */
  onShutdown?: (how: 'now' | 'graceful') => void;
}

/** Memory for bodies of small files and chunks of large ones, for the whole node. */
const bufferBytesMax = 8 * 1024 * 1024;

/**
 * Looks at the devices below the docroot, without serving yet.
 * @throws FAILURE when the docroot or the memory file in it cannot be used; NO_DEVICE when a
 * device to adopt does not exist.
 */
export async function createStorageNode(
  options: StorageOptions,
  hooks: StorageHooks = {},
): Promise<StorageNode> {
  const config = { ...storageDefaults, ...options };
  const { log = createLog(config.logLevel), onShutdown = () => {} } = hooks;
  for (const warning of config.warnings) log.warn({ reason: warning }, 'config.unused');
  const devices = await Devices.open({
    docroot: config.docroot,
    sync: config.sync,
    threads: config.threads,
    reserveBytes: config.freeReserveMb * 1024 * 1024,
    adopt: config.adopt,
    log,
  });
  const dav = await createDav(config, devices);
  return createNode(config, createParts(config, { devices, dav, log, onShutdown }), log);
}

/** Loaded when it is wanted: it takes longer than all the rest, and 10 MiB. */
async function createDav(
  { access, dav: mode }: StorageConfig,
  devices: Devices,
): Promise<DeviceDav | undefined> {
  // A signature names one path and method, and WebDAV touches more than one.
  if (mode === 'off' || access.secrets.length > 0) return undefined;
  const { DeviceDav } = await import('./dav/dav.ts');
  return new DeviceDav(devices, { full: mode === 'full' });
}

type Parts = ReturnType<typeof createParts>;

function createParts(
  config: StorageConfig,
  given: Required<StorageHooks> & { devices: Devices; dav: DeviceDav | undefined },
) {
  const { devices, dav, log, onShutdown } = given;
  const buffers = new Buffers(bufferBytesMax);
  const { access, connectionsMax, stallMs, tls } = config;
  const scrubs = new Scrubs({ devices, bytesPerSecond: config.scrubMb * 1024 * 1024, log });
  const pieces = new Pieces({ devices, keepMs: config.piecesHours * 3_600_000, log });
  const counts = new RequestCounts();
  const common = { devices, buffers, dav, scrubs, pieces, log, counts };
  const settings = { ...common, access, connectionsMax, stallMs };
  const nginx = config.server === 'nginx' ? createNginx(config, devices, log) : undefined;
  const server = new StorageServer({ ...settings, behindFront: nginx !== undefined });
  const tlsServer = tls && new StorageServer({ ...settings, behindFront: false, tls });
  const servers = tlsServer === undefined ? [server] : [server, tlsServer];
  // Without it watchers get a line for each device that says that nothing is known.
  const utilization = new Utilization(devices, config.iostat ? kernelFiles : undefined);
  const sideChannel = createSideChannel({ devices, onShutdown, access, utilization });
  const text = () => nodeMetrics({ ...common, nginx, utilization, servers });
  const metrics = new MetricsServer({ text, access });
  return { devices, scrubs, pieces, nginx, server, tlsServer, servers, sideChannel, metrics };
}

function createNode(config: StorageConfig, parts: Parts, log: Log): StorageNode {
  const { devices, scrubs, pieces, nginx, server, sideChannel, metrics } = parts;
  const { httpHost, closeGraceMs: graceMs } = config;
  const ports = {
    httpPort: config.httpPort,
    tlsPort: config.tls?.port,
    managementPort: config.management?.port,
    metricsPort: config.metrics?.port,
  };
  return {
    httpHost,
    get httpPort() {
      return ports.httpPort;
    },
    get tlsPort() {
      return ports.tlsPort;
    },
    get metricsPort() {
      return ports.metricsPort;
    },
    get managementPort() {
      return ports.managementPort;
    },
    get busyDevids() {
      const busy = devices.all().filter((device) => device.busy);
      return busy.map(({ devid }) => devid);
    },
    async listen() {
      if (nginx !== undefined) {
        nginx.prepare();
        await server.listenOn(nginx.nodeSocket);
        await nginx.start();
      } else if (config.server === 'own') {
        ports.httpPort = await server.listen({ host: httpHost, port: config.httpPort });
      }
      const { tls, management } = config;
      if (tls !== undefined) ports.tlsPort = await parts.tlsServer?.listen(tls);
      if (management !== undefined) ports.managementPort = await sideChannel.listen(management);
      if (config.metrics !== undefined) ports.metricsPort = await metrics.listen(config.metrics);
      await devices.start({ sweepMs: config.sweepMs });
      scrubs.start();
      pieces.start();
      log.info({ httpHost, ...ports }, 'storage.listening');
    },
    async close() {
      const deadline = delay(graceMs, undefined, { ref: false });
      await nginx?.stop({ graceMs });
      const serving = parts.servers.map((one) => one.close({ graceMs }));
      await Promise.all([...serving, sideChannel.close(), metrics.close()]);
      // A disk that hangs must not keep the process.
      pieces.close();
      const closing = scrubs.close().then(() => devices.close());
      await Promise.race([closing, deadline]);
      // What was acknowledged is on the disk; nobody was told that the rest is done.
      const { busyDevids: devids } = this;
      if (devids.length > 0) log.warn({ devids }, 'storage.abandoned');
      log.info({}, 'storage.closed');
    },
  };
}

function createSideChannel(options: {
  devices: Devices;
  onShutdown: (how: 'now' | 'graceful') => void;
  access: AccessRules;
  utilization: Utilization;
}): SideChannel {
  const { devices, onShutdown, access, utilization } = options;
  const startedAtMs = performance.now();
  return new SideChannel({
    commands: { devices, digests: new Digests(devices), startedAtMs, onShutdown },
    utilization,
    access,
  });
}

/** @throws FAILURE when no port is named: what nginx gets by chance could not be told. */
function createNginx(config: StorageConfig, devices: Devices, log: Log): Nginx {
  if (config.httpPort === 0) {
    throw new OmgfsError('FAILURE', { message: 'server = nginx needs a port in httplisten.' });
  }
  const docroot = resolve(config.docroot);
  const runDir = join(docroot, '.omgfs-nginx');
  return new Nginx({
    ...config.nginx,
    runDir,
    docroot,
    listen: [{ host: config.httpHost, port: config.httpPort }],
    nodeSocket: join(runDir, 'node.sock'),
    statusSocket: join(runDir, 'status.sock'),
    allow: config.allow,
    // It cannot check the signature of a tracker.
    nodeOnly: config.access.secrets.length > 0,
    connectionsMax: config.connectionsMax,
    // Its workers must be able to reach what this process stores.
    user: process.getuid?.() === 0 ? userInfo().username : undefined,
    disks: () =>
      devices.all().flatMap(({ devid, state, root, stamp }) => {
        return state === 'ready' ? [{ name: `dev${devid}`, root, stamp }] : [];
      }),
    log,
  });
}
