/** The listener of the line protocol (spec §1.1): accepts, bounds and closes connections. */
import { createServer, type Server } from 'node:net';
import { Connection, type LineHandler } from './connection.ts';

export interface LineServerOptions {
  handle: LineHandler;
  /** Called when a connection has ended. */
  onClose?: (connection: Connection) => void;
  /** Further connections are refused by closing them. */
  connectionsMax: number;
}

export interface ListenAddress {
  host: string;
  port: number;
}

export class LineServer {
  readonly #options: LineServerOptions;
  readonly #connections = new Set<Connection>();
  readonly #servers: Server[] = [];

  constructor(options: LineServerOptions) {
    this.#options = options;
  }

  /** Listens on one more address. @returns the address with its real port. */
  async listen(address: ListenAddress): Promise<ListenAddress> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      const connection = new Connection(socket, this.#options.handle);
      this.#connections.add(connection);
      socket.on('close', () => {
        this.#connections.delete(connection);
        this.#options.onClose?.(connection);
      });
    });
    server.maxConnections = this.#options.connectionsMax;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen({ ...address, backlog: 1024 }, () => {
        server.off('error', reject);
        resolve();
      });
    });
    this.#servers.push(server);
    const bound = server.address();
    return { host: address.host, port: typeof bound === 'object' && bound ? bound.port : 0 };
  }

  /**
   * Stops accepting, lets requests in flight be answered, and cuts what is left after the grace.
   */
  async close(graceMs: number): Promise<void> {
    const closed = this.#servers.map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    for (const connection of this.#connections) connection.finish();
    const cut = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, graceMs);
    await Promise.all(closed);
    clearTimeout(cut);
  }
}
