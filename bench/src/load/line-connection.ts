/**
 * The cheapest possible client of the line protocol: one socket, one request in flight, latin1
 * strings, replies scanned instead of decoded. It exists because the load generator shares its
 * processors with what it measures; an application uses `@omgfs/client`.
 */
import { connect, type Socket } from 'node:net';
import { decodeText } from '@omgfs/protocol';

export interface HostPort {
  host: string;
  port: number;
}

interface Waiting {
  resolve: (line: string) => void;
  reject: (error: Error) => void;
}

const readBufferBytes = 16 * 1024;

export class LineConnection {
  readonly #socket: Socket;
  #partial = '';
  #waiting: Waiting | undefined;
  #failure: Error | undefined;

  private constructor(address: HostPort) {
    this.#socket = connect({
      ...address,
      noDelay: true,
      onread: {
        buffer: Buffer.allocUnsafe(readBufferBytes),
        callback: (length, buffer) => {
          this.#receive((buffer as Buffer).toString('latin1', 0, length));
          return true;
        },
      },
    });
    this.#socket.on('error', (error) => this.#fail(error));
    this.#socket.on('close', () => this.#fail(new Error('the tracker closed the connection')));
  }

  /** @throws Error when the tracker does not accept the connection. */
  static async open(address: HostPort): Promise<LineConnection> {
    const connection = new LineConnection(address);
    await new Promise<void>((resolve, reject) => {
      connection.#waiting = { resolve: () => resolve(), reject };
      connection.#socket.once('connect', resolve);
    });
    connection.#waiting = undefined;
    return connection;
  }

  /** Sends a request (with its line end). @returns the reply line. @throws Error on `ERR`. */
  async ask(request: string): Promise<string> {
    const reply = await this.exchange(request);
    if (reply.startsWith('OK')) return reply;
    throw new Error(`${request.trimEnd()}: ${reply}`);
  }

  /** As `ask`, for callers to whom an error is an answer. */
  exchange(request: string): Promise<string> {
    return new Promise((resolve, reject) => {
      if (this.#failure !== undefined) {
        reject(this.#failure);
        return;
      }
      this.#waiting = { resolve, reject };
      this.#socket.write(request, 'latin1');
    });
  }

  close(): void {
    this.#socket.destroy();
  }

  #receive(text: string): void {
    this.#partial += text;
    if (!this.#partial.endsWith('\n')) return;
    const line = this.#partial.trimEnd();
    this.#partial = '';
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.resolve(line);
  }

  #fail(error: Error): void {
    this.#failure ??= error;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    waiting?.reject(this.#failure);
  }
}

/** The value of one field of a reply as it stands on the wire. @throws Error when it is absent. */
export function rawField(reply: string, name: string): string {
  let start = reply.indexOf(` ${name}=`);
  if (start < 0) start = reply.indexOf(`&${name}=`);
  if (start < 0) throw new Error(`no field ${name} in: ${reply}`);
  const from = start + name.length + 2;
  const end = reply.indexOf('&', from);
  return end < 0 ? reply.slice(from) : reply.slice(from, end);
}

/** As `rawField`, decoded. */
export function field(reply: string, name: string): string {
  return decodeText(rawField(reply, name));
}
