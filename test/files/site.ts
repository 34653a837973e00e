/** A cluster and requests to its files API, for the tests of this folder. */
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import type { Readable } from 'node:stream';
import type { LocalCluster } from '@omgfs/cli';
import { request } from 'undici';

export interface Answer {
  status: number;
  headers: Record<string, string | string[] | undefined>;
  body: Buffer;
}

export interface AskOptions {
  body?: Buffer | string | Readable;
  headers?: Record<string, string>;
}

/** Requests below one base URL. */
export class FilesSite {
  readonly base: string;
  readonly #headers: Record<string, string>;

  constructor(base: string, headers: Record<string, string> = {}) {
    this.base = base;
    this.#headers = headers;
  }

  async ask(method: string, path: string, options: AskOptions = {}): Promise<Answer> {
    const { statusCode, headers, body } = await request(this.base + path, {
      method: method as 'GET',
      ...options,
      headers: { ...this.#headers, ...options.headers },
    });
    return { status: statusCode, headers, body: Buffer.from(await body.arrayBuffer()) };
  }

  /** A connection for what no client library would send. */
  async wire(text: string | Buffer): Promise<Wire> {
    const { hostname, port } = new URL(this.base);
    const socket = connect({ host: hostname, port: Number(port) });
    await once(socket, 'connect');
    socket.write(text);
    return new Wire(socket);
  }
}

export class Wire {
  readonly socket: Socket;
  text = '';

  constructor(socket: Socket) {
    this.socket = socket;
    socket.on('error', () => {});
    socket.on('data', (chunk) => {
      this.text += chunk.toString('latin1');
    });
  }

  /** The status of the first answer. */
  async status(): Promise<number> {
    while (!/^HTTP\/1\.1 (?!100)\d{3} /m.test(this.text)) {
      if (this.socket.destroyed) return 0;
      await Promise.race([once(this.socket, 'data'), once(this.socket, 'close')]);
    }
    return Number(/^HTTP\/1\.1 (?!100)(\d{3}) /m.exec(this.text)?.[1]);
  }
}

// biome-ignore lint/suspicious/noExplicitAny: tests look into bodies of every shape.
export function json({ body }: Answer): any {
  return JSON.parse(body.toString());
}

/** Stored files on all disks of a cluster, as `devN/…/N.fid`. */
export async function storedFids(cluster: LocalCluster): Promise<string[]> {
  const all = await Promise.all(
    cluster.hosts.map(({ docroot }) => readdir(docroot, { recursive: true })),
  );
  return all.flat().filter((name) => name.endsWith('.fid'));
}
