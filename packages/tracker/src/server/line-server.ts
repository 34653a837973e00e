/** The listener of the line protocol (spec §1.1): accepts, bounds and closes connections. */
import { createServer, type Server, type Socket } from 'node:net';
import { limits } from '@omgfs/protocol';
import { Budget } from './budget.ts';
import { Connection, type LineHandler } from './connection.ts';

export interface LineServerOptions {
  handle: LineHandler;
  /** Called when a connection has ended. */
  onClose?: (connection: Connection) => void;
  /** Called when the account of a connection may have changed. */
  onChange?: (connection: Connection) => void;
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
  readonly #budget = new Budget(limits.clientsBytesMax);
  #closing = false;
  #onEmpty: () => void = () => {};

  constructor(options: LineServerOptions) {
    this.#options = options;
  }

  /** Listens on one more address. @returns the address with its real port. */
  async listen(address: ListenAddress): Promise<ListenAddress> {
    const server = createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
      this.adopt(socket);
    });
    const bound = await bindServer(server, address);
    this.#servers.push(server);
    return bound;
  }

  /**
   * Serves a connection that was accepted here or elsewhere.
   * @returns undefined when it was closed, because there are too many or this server stops.
   */
  adopt(socket: Socket): Connection | undefined {
    if (this.#closing || this.#connections.size >= this.#options.connectionsMax) {
      socket.destroy();
      return undefined;
    }
    socket.allowHalfOpen = true;
    const { handle, onChange } = this.#options;
    const budget = this.#budget;
    const connection = new Connection(socket, {
      handle,
      budget,
      ...(onChange === undefined ? {} : { onChange }),
    });
    this.#connections.add(connection);
    socket.on('close', () => {
      this.#connections.delete(connection);
      this.#options.onClose?.(connection);
      if (this.#connections.size === 0) this.#onEmpty();
    });
    return connection;
  }

  /**
   * Stops accepting, lets requests in flight be answered, and cuts what is left after the grace.
   */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    for (const server of this.#servers) server.close();
    const empty = new Promise<void>((resolve) => {
      this.#onEmpty = resolve;
    });
    if (this.#connections.size === 0) this.#onEmpty();
    for (const connection of this.#connections) connection.finish();
    const cut = setTimeout(() => {
      for (const connection of this.#connections) connection.destroy();
    }, graceMs);
    await empty;
    clearTimeout(cut);
  }
}

/** Has a server listen. @returns the address with its real port. @throws what the system says. */
export async function bindServer(server: Server, address: ListenAddress): Promise<ListenAddress> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ ...address, backlog: 1024 }, () => {
      server.off('error', reject);
      resolve();
    });
  });
  const bound = server.address();
  return { host: address.host, port: typeof bound === 'object' && bound ? bound.port : 0 };
}
