/** A memcached whose entries a test reads and writes; others can only delete them. */
import { once } from 'node:events';
import { type AddressInfo, createServer, type Server, type Socket } from 'node:net';

export class MemcacheStandIn {
  readonly entries = new Map<string, string>();
  /** Commands that arrived and that it did not know. */
  readonly strange: string[] = [];
  hangs = false;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(server: Server) {
    this.#server = server;
    server.on('connection', (socket) => this.#serve(socket));
  }

  static async start(): Promise<MemcacheStandIn> {
    const server = createServer();
    const standIn = new MemcacheStandIn(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return standIn;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async stop(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    this.#server.close();
    await once(this.#server, 'close');
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    let text = '';
    socket.setEncoding('latin1');
    socket.on('error', () => {});
    socket.on('close', () => this.#sockets.delete(socket));
    socket.on('data', (chunk: Buffer | string) => {
      text += String(chunk);
      for (let end = text.indexOf('\r\n'); end >= 0; end = text.indexOf('\r\n')) {
        const answer = this.#answer(text.slice(0, end));
        text = text.slice(end + 2);
        if (!this.hangs) socket.write(answer);
      }
    });
  }

  #answer(line: string): string {
    const [, key] = /^delete (\S+)$/.exec(line) ?? [];
    if (key !== undefined) return this.entries.delete(key) ? 'DELETED\r\n' : 'NOT_FOUND\r\n';
    this.strange.push(line);
    return 'ERROR\r\n';
  }
}
