/**
 * A line server for what no healthy tracker does: silence, garbage, late and cut replies. Each test
 * scripts its answers; what arrived is kept.
 */
import { once } from 'node:events';
import { createServer, type Socket } from 'node:net';
import { decodeRequest, type Fields } from '@omgfs/protocol';

export interface Call {
  command: string;
  args: Fields;
  socket: Socket;
  /** Number of the connection, from 1. */
  connection: number;
}

/** What to write back; undefined leaves the request without an answer. */
export type Script = (call: Call) => string | undefined;

export class LineServer implements AsyncDisposable {
  readonly calls: Call[] = [];
  readonly sockets = new Set<Socket>();
  script: Script;
  /** Connections accepted so far. */
  connections = 0;
  readonly #server = createServer((socket) => this.#accept(socket));
  #port = 0;

  private constructor(script: Script) {
    this.script = script;
  }

  static async start(script: Script = () => 'OK \r\n'): Promise<LineServer> {
    const server = new LineServer(script);
    await server.listen();
    return server;
  }

  get address(): string {
    return `127.0.0.1:${this.#port}`;
  }

  get commands(): string[] {
    return this.calls.map(({ command }) => command);
  }

  /** Listens, after `close` again on the same port. */
  async listen(): Promise<void> {
    this.#server.listen(this.#port, '127.0.0.1');
    await once(this.#server, 'listening');
    const bound = this.#server.address();
    if (typeof bound === 'object' && bound !== null) this.#port = bound.port;
  }

  /** As when the process is killed: the port refuses, all connections end. */
  async close(): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    for (const socket of this.sockets) socket.resetAndDestroy();
    await closed;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#server.listening) await this.close();
  }

  #accept(socket: Socket): void {
    this.connections += 1;
    const connection = this.connections;
    this.sockets.add(socket);
    socket.on('close', () => this.sockets.delete(socket));
    socket.on('error', () => {});
    socket.setEncoding('latin1');
    let buffered = '';
    socket.on('data', (chunk: Buffer | string) => {
      buffered += String(chunk);
      for (let end = buffered.indexOf('\n'); end >= 0; end = buffered.indexOf('\n')) {
        const { command, args } = decodeRequest(buffered.slice(0, end).replace(/\r$/, ''));
        buffered = buffered.slice(end + 1);
        const call = { command, args, socket, connection };
        this.calls.push(call);
        const answer = this.script(call);
        if (answer !== undefined) socket.write(answer, 'latin1');
      }
    });
  }
}

/** The code a promise fails with; fails itself when the promise does not. */
export async function codeOf(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
  throw new Error('expected a failure');
}
