/**
 * Serves `/metrics` on an address of its own: the port of the files is for trackers, proxies and
 * clients, and shows them nothing that it did not show before.
 */
import type { AddressInfo } from 'node:net';
import { expositionType } from '@omgfs/protocol';
import { type FastifyInstance, fastify } from 'fastify';
import { type AccessRules, isAllowed } from '../access/access.ts';

const connectionsMax = 64;
const idleMs = 30_000;

export class MetricsServer {
  readonly #app: FastifyInstance;

  /** @param options.access whose networks may ask; there is nothing to sign here. */
  constructor({ text, access }: { text: () => Promise<string>; access: AccessRules }) {
    this.#app = fastify({
      logger: false,
      connectionTimeout: idleMs,
      requestTimeout: idleMs,
      forceCloseConnections: true,
    });
    this.#app.server.maxConnections = connectionsMax;
    this.#app.get('/metrics', async (request, reply) => {
      if (!isAllowed(access, request.socket.remoteAddress ?? '')) return reply.code(403).send();
      return reply.type(expositionType).send(await text());
    });
  }

  /** @returns the port, which is another one than asked for when that was 0. */
  async listen(address: { host: string; port: number }): Promise<number> {
    await this.#app.listen(address);
    return (this.#app.server.address() as AddressInfo).port;
  }

  async close(): Promise<void> {
    await this.#app.close();
  }
}
