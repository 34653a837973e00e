/** A client of the line protocol without any cleverness: what a socket sees, byte for byte. */
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { decodeReply, encodeRequest, type Fields, type ReplyFields } from '@omgfs/protocol';
import { request as httpRequest } from 'undici';

export class RawClient {
  readonly socket: Socket;
  #buffer = '';
  #waiting: ((line: string | undefined) => void)[] = [];
  #lines: string[] = [];
  #ended = false;

  constructor(address: string) {
    const [host = '', port = ''] = address.split(':');
    this.socket = connect({ host, port: Number(port), noDelay: true });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (chunk: Buffer | string) => {
      this.#buffer += String(chunk);
      for (let end = this.#buffer.indexOf('\n'); end >= 0; end = this.#buffer.indexOf('\n')) {
        this.#deliver(this.#buffer.slice(0, end + 1));
        this.#buffer = this.#buffer.slice(end + 1);
      }
    });
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.#ended = true;
      for (const waiting of this.#waiting.splice(0)) waiting(undefined);
    });
  }

  write(text: string): void {
    this.socket.write(text, 'latin1');
  }

  /** The next line with its line end; undefined when the connection has ended. */
  async line(): Promise<string | undefined> {
    const line = this.#lines.shift();
    if (line !== undefined || this.#ended) return line;
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  /** Sends one line as it is and returns the answer as it is. */
  async ask(line: string): Promise<string | undefined> {
    this.write(line);
    return this.line();
  }

  /** Lines of an answer to a `!` command, without the dot. */
  async admin(command: string): Promise<string[]> {
    this.write(`${command}\r\n`);
    const lines: string[] = [];
    for (;;) {
      const line = await this.line();
      if (line === undefined || line === '.\r\n') return lines;
      lines.push(line);
    }
  }

  /** Fields of an OK answer. @throws Error with the line when it is an ERR. */
  async call(command: string, args: ReplyFields = {}): Promise<Fields> {
    const line = await this.ask(encodeRequest(command, args));
    const reply = decodeReply((line ?? '').replace(/\r\n$/, ''));
    if (reply?.ok !== true) throw new Error(`${command}: ${line}`);
    return reply.fields;
  }

  /** Code of an ERR answer, `OK` for a success. */
  async code(command: string, args: ReplyFields = {}): Promise<string> {
    const line = await this.ask(encodeRequest(command, args));
    const reply = decodeReply((line ?? '').replace(/\r\n$/, ''));
    if (reply === undefined) return `no reply: ${line}`;
    return reply.ok ? 'OK' : reply.code;
  }

  async close(): Promise<void> {
    if (this.socket.destroyed) return;
    this.socket.destroy();
    await once(this.socket, 'close');
  }

  #deliver(line: string): void {
    const waiting = this.#waiting.shift();
    if (waiting === undefined) this.#lines.push(line);
    else waiting(line);
  }
}

/** Stores bytes the way the oldest client does: open, PUT, close. @returns the open's fields. */
export async function storeRaw(
  client: RawClient,
  file: { domain: string; key: string; body: string | Buffer; class?: string },
): Promise<Fields> {
  const { domain, key, body } = file;
  const opened = await client.call('create_open', { domain, key, class: file.class ?? '' });
  const { fid, devid, path } = opened;
  await putBody(path ?? '', body);
  const size = Buffer.byteLength(body);
  await client.call('create_close', { domain, key, fid, devid, path, size });
  return opened;
}

export async function putBody(url: string, body: string | Buffer): Promise<void> {
  const { statusCode, body: answer } = await httpRequest(url, { method: 'PUT', body });
  await answer.dump();
  if (statusCode >= 300) throw new Error(`PUT ${url}: ${statusCode}`);
}

/** Status and body of a GET; status 0 when nothing answers. */
export async function getBody(url: string): Promise<{ status: number; body: Buffer }> {
  try {
    const { statusCode, body } = await httpRequest(url);
    return { status: statusCode, body: Buffer.from(await body.arrayBuffer()) };
  } catch {
    return { status: 0, body: Buffer.alloc(0) };
  }
}
