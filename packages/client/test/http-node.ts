/** An HTTP server in place of a storage node, for answers that a healthy one never gives. */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

export interface Seen {
  method: string;
  url: string;
  range: string | undefined;
  body: Buffer;
}

export class HttpNode implements AsyncDisposable {
  readonly seen: Seen[] = [];
  #url = '';
  readonly #server;

  private constructor(answer: (request: IncomingMessage, response: ServerResponse) => void) {
    this.#server = createServer((request, response) => {
      const { method = '', url = '', headers } = request;
      const seen: Seen = { method, url, range: headers.range, body: Buffer.alloc(0) };
      this.seen.push(seen);
      request.on('data', (chunk: Buffer) => {
        seen.body = Buffer.concat([seen.body, chunk]);
      });
      request.on('error', () => {});
      answer(request, response);
    });
  }

  static async start(
    answer: (request: IncomingMessage, response: ServerResponse) => void,
  ): Promise<HttpNode> {
    const node = new HttpNode(answer);
    node.#server.listen(0, '127.0.0.1');
    await once(node.#server, 'listening');
    const bound = node.#server.address();
    node.#url = `http://127.0.0.1:${typeof bound === 'object' && bound ? bound.port : 0}`;
    return node;
  }

  /** URL of a replica on it. */
  path(devid: number, fid: number): string {
    return `${this.#url}/dev${devid}/0/000/000/${String(fid).padStart(10, '0')}.fid`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }
}

/** Answers a GET with the bytes asked for, as a storage node does. */
export function sendBytes(
  request: IncomingMessage,
  response: ServerResponse,
  file: { body: Buffer; etag?: string; ignoreRange?: boolean; cutAfter?: number },
): void {
  const { body, etag, ignoreRange, cutAfter } = file;
  const match = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '');
  const ranged = match !== null && !ignoreRange;
  const start = ranged ? Number(match[1]) : 0;
  const end = ranged && match[2] ? Number(match[2]) : body.length - 1;
  response.writeHead(ranged ? 206 : 200, {
    'content-length': end - start + 1,
    ...(ranged ? { 'content-range': `bytes ${start}-${end}/${body.length}` } : {}),
    ...(etag === undefined ? {} : { etag }),
  });
  const part = body.subarray(start, end + 1);
  if (cutAfter === undefined) response.end(part);
  else response.write(part.subarray(0, cutAfter), () => response.destroy());
}
