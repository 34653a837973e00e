/**
 * The storage node: puts devices and the HTTP server together. It promises that a stored file is
 * durable, that nothing half-written is seen, and that a wrong disk is refused (I1, I3, I6).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type StorageConfig, storageDefaults } from './config.ts';
import { Buffers } from './device/buffers.ts';
import { Devices } from './device/devices.ts';
import { createLog, type Log } from './log.ts';
import { StorageServer } from './server.ts';

/** What a node can be given; all but the docroot have defaults. */
export type StorageOptions = Partial<StorageConfig> & Pick<StorageConfig, 'docroot'>;

export interface StorageNode {
  /** Starts to serve. @throws errors of the system when the address cannot be used. */
  listen(): Promise<void>;
  /** Stops listening, lets requests in flight finish for a bounded time, and ends. */
  close(): Promise<void>;
  readonly httpHost: string;
  /** The real port once `listen` has resolved. */
  readonly httpPort: number;
}

/** Memory for bodies of small files and chunks of large ones, for the whole node. */
const bufferBytesMax = 128 * 1024 * 1024;

/**
 * Looks at the devices below the docroot, without serving yet.
 * @throws FAILURE when the docroot or the memory file in it cannot be used; NO_DEVICE when a
 * device to adopt does not exist.
 */
export async function createStorageNode(
  options: StorageOptions,
  { log = createLog(options.logLevel ?? storageDefaults.logLevel) }: { log?: Log } = {},
): Promise<StorageNode> {
  const config = { ...storageDefaults, ...options };
  for (const warning of config.warnings) log.warn({ reason: warning }, 'config.unused');
  const devices = await Devices.open({
    docroot: config.docroot,
    durable: config.sync === 'always',
    reserveBytes: config.freeReserveMb * 1024 * 1024,
    adopt: config.adopt,
    log,
  });
  const buffers = new Buffers(bufferBytesMax);
  const { connectionsMax, stallMs, httpHost } = config;
  const server = new StorageServer({ devices, buffers, log, connectionsMax, stallMs });
  let httpPort = config.httpPort;
  return {
    httpHost,
    get httpPort() {
      return httpPort;
    },
    async listen() {
      httpPort = await server.listen({ host: httpHost, port: httpPort });
      await devices.start({ sweepMs: config.sweepMs });
      log.info({ httpHost, httpPort }, 'storage.listening');
    },
    async close() {
      await server.close({ graceMs: config.closeGraceMs });
      // A disk that hangs must not keep the process.
      await Promise.race([devices.close(), delay(config.closeGraceMs, undefined, { ref: false })]);
      log.info({}, 'storage.closed');
    },
  };
}
