/**
 * The side channel of a storage node (port 7501, spec §8.3): digests for trackers, utilisation of
 * the disks for whoever watches, and a few words for operators. Lines, one command at a time on
 * each connection; memory is bounded by the length of a line and by the number of connections.
 */
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';
import { type AccessRules, isAllowed, isLoopback } from '../access/access.ts';
import { answer, type SideCommands, type SideReply } from './commands.ts';
import type { Utilization } from './utilization.ts';

/** PATH_MAX of Linux and a word. */
const lineBytesMax = 8 * 1024;
const connectionsMax = 1000;
/** A watcher that does not read is given up when this much waits for it. */
const unreadBytesMax = 256 * 1024;

export interface SideChannelOptions {
  commands: SideCommands;
  utilization: Utilization;
  access: AccessRules;
}

export class SideChannel {
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(options: SideChannelOptions) {
    this.#server = createServer(
      { allowHalfOpen: true, keepAlive: true, noDelay: true },
      (socket) => {
        if (!isAllowed(options.access, socket.remoteAddress ?? '')) {
          socket.destroy();
          return;
        }
        this.#sockets.add(socket);
        socket.once('close', () => this.#sockets.delete(socket));
        new Conversation(socket, options);
      },
    );
    this.#server.maxConnections = connectionsMax;
  }

  /** @returns the real port. @throws errors of the system when the address cannot be used. */
  listen(address: { host: string; port: number }): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.once('error', reject);
      this.#server.listen(address.port, address.host, () => {
        this.#server.off('error', reject);
        resolve((this.#server.address() as AddressInfo).port);
      });
    });
  }

  async close(): Promise<void> {
    const closed = new Promise((resolve) => this.#server.close(resolve));
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }
}

/** One connection: reads a line, answers it, and only then looks at the next. */
class Conversation {
  readonly #socket: Socket;
  readonly #options: SideChannelOptions;
  #input = '';
  #busy = false;
  #ended = false;
  #stopWatch: (() => void) | undefined;

  constructor(socket: Socket, options: SideChannelOptions) {
    this.#socket = socket;
    this.#options = options;
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.#take(text));
    socket.once('end', () => {
      this.#ended = true;
      if (this.#stopWatch !== undefined) socket.end();
      this.#next();
    });
    // A client that resets its connection is gone, and that is all.
    socket.on('error', () => {});
    socket.once('close', () => this.#stopWatch?.());
  }

  #take(text: string): void {
    // A watcher has nothing more to say.
    if (this.#stopWatch !== undefined) return;
    this.#input += text;
    if (this.#input.length > lineBytesMax) this.#socket.pause();
    this.#next();
  }

  #next(): void {
    if (this.#busy || this.#stopWatch !== undefined) return;
    const end = this.#input.indexOf('\n');
    if (end < 0) {
      if (this.#input.length > lineBytesMax) this.#socket.end('ERROR: line too long\r\n');
      else if (this.#ended) this.#socket.end();
      else this.#socket.resume();
      return;
    }
    const line = this.#input.slice(0, end).replace(/\r$/, '');
    this.#input = this.#input.slice(end + 1);
    this.#busy = true;
    void this.#answer(line).then((reply) => {
      this.#busy = false;
      if (reply === 'watch') this.#watch();
      else if (reply === undefined || this.#socket.write(reply, 'latin1')) this.#next();
      else {
        // A client that asks and does not read gets no more answers until it does.
        this.#busy = true;
        this.#socket.once('drain', () => {
          this.#busy = false;
          this.#next();
        });
      }
    });
  }

  #answer(line: string): Promise<SideReply> {
    const { commands, access } = this.#options;
    const socket = this.#socket;
    // Where even a read needs a signature, nobody may stop the node from elsewhere unsigned.
    const mayStop = access.secrets.length === 0 || isLoopback(socket.remoteAddress ?? '');
    return answer(commands, line, { aborted: () => socket.destroyed, mayStop });
  }

  #watch(): void {
    this.#input = '';
    if (this.#socket.destroyed) return;
    this.#socket.resume();
    this.#stopWatch = this.#options.utilization.watch((block) => {
      if (this.#socket.writableLength > unreadBytesMax) this.#socket.destroy();
      else this.#socket.write(block);
    });
  }
}
