/**
 * The guard and the webdav-server package behind it. Every request is checked and bounded here
 * first; the package gets a stand-in without the client's headers and dispatches to methods of
 * ours, put in by its own extension point, because its own do not pass litmus or survive bad input.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http';
import webdavServer from 'webdav-server';
import {
  type Call,
  checkIf,
  checkLocks,
  type Method,
  mustHaveParent,
  type Share,
} from './context.ts';
import { DavError } from './errors.ts';
import type { DavFileSystem, FileFacts } from './file-system.ts';
import { Locks } from './locks.ts';
import { lock, unlock } from './methods/lock.ts';
import { propfind } from './methods/propfind.ts';
import { proppatch } from './methods/proppatch.ts';
import { copyOrMove, mkcol, remove } from './methods/tree.ts';
import { parsePath } from './path.ts';
import { Properties } from './properties.ts';
import { whenGone } from './when-gone.ts';

export interface WebDavOptions {
  files: DavFileSystem;
  /** Only OPTIONS and PROPFIND. */
  readonly: boolean;
  locksMax?: number;
  propertyCharactersMax?: number;
  entriesMax?: number;
}

const bodyBytesMax = 256 * 1024;
const headerCharactersMax = 8192;
const readMethods: readonly string[] = ['OPTIONS', 'PROPFIND'];

const methods: ReadonlyMap<string, Method> = new Map([
  ['PROPFIND', propfind],
  ['PROPPATCH', proppatch],
  ['MKCOL', mkcol],
  ['DELETE', remove],
  ['COPY', copyOrMove],
  ['MOVE', copyOrMove],
  ['LOCK', lock],
  ['UNLOCK', unlock],
]);

interface Task {
  call: Call;
  method: Method;
  done: (error?: unknown) => void;
}

export class WebDav {
  readonly #share: Share;
  readonly #readonly: boolean;
  readonly #server = new webdavServer.v2.WebDAVServer({ requireAuthentification: false });
  readonly #tasks = new WeakMap<IncomingMessage, Task>();

  constructor(options: WebDavOptions) {
    this.#readonly = options.readonly;
    this.#share = {
      files: options.files,
      locks: new Locks({ countMax: options.locksMax ?? 1000 }),
      properties: new Properties({ charactersMax: options.propertyCharactersMax ?? 8_000_000 }),
      entriesMax: options.entriesMax ?? 100_000,
    };
    for (const name of [...methods.keys(), 'OPTIONS']) {
      this.#server.method(name, {
        isValidFor: () => true,
        chunked: (context, _body, end) => void this.#run(context.request, end),
      });
    }
  }

  /** Whether `handle` serves a method. DELETE is for hosts that also remove collections. */
  serves(method: string): boolean {
    if (this.#readonly) return readMethods.includes(method);
    return method === 'OPTIONS' || methods.has(method);
  }

  /**
   * Answers a request. It never fails with half an answer sent: the connection is closed then.
   * @throws DavError, and what the file system throws, while nothing has been sent.
   */
  async handle(req: IncomingMessage, res: ServerResponse, target: string): Promise<void> {
    const name = req.method ?? '';
    for (const value of [req.headers.if, req.headers.destination]) {
      if ((value?.toString().length ?? 0) > headerCharactersMax) {
        throw new DavError(400, 'A header is too long.');
      }
    }
    const path = target === '*' && name === 'OPTIONS' ? '/' : parsePath(target);
    const method = name === 'OPTIONS' ? this.#options : methods.get(name);
    if (method === undefined) throw new DavError(405, 'The method is not offered.');
    const body = await readBody(req);
    const tokens = await checkIf(this.#share, req.headers.if?.toString(), path);
    const leaving = new AbortController();
    const forget = whenGone(req, res, () => leaving.abort());
    const { headers } = req;
    const { signal } = leaving;
    const call: Call = {
      share: this.#share,
      method: name,
      headers,
      res,
      path,
      body,
      tokens,
      signal,
    };
    try {
      await new Promise<void>((resolve, reject) => {
        const done = (error?: unknown) => (error === undefined ? resolve() : reject(error));
        const standIn: IncomingMessage = Object.create(req, {
          url: { value: '/' },
          headers: { value: { host: 'localhost' } },
        });
        this.#tasks.set(standIn, { call, method, done });
        this.#server.executeRequest(standIn, res);
      });
    } finally {
      forget();
    }
  }

  /** For GET and PUT of the host. @throws DavError 400, 403, 414. */
  pathOf(target: string): string {
    return parsePath(target);
  }

  /** @returns undefined when nothing is there. */
  async kindOf(path: string): Promise<FileFacts['kind'] | undefined> {
    return (await this.#share.files.stat(path))?.kind;
  }

  /**
   * For the PUT of the host: whether locks and conditions let a client write.
   * @returns what is there now.
   * @throws DavError 400, 412, 423, and 409 when `parent` is asked for and missing.
   */
  async mayWrite(
    target: string,
    headers: IncomingHttpHeaders,
    { parent }: { parent: boolean },
  ): Promise<FileFacts['kind'] | undefined> {
    const path = parsePath(target);
    const tokens = await checkIf(this.#share, headers.if?.toString(), path);
    const kind = await this.kindOf(path);
    const member = kind === undefined;
    if (parent && member) await mustHaveParent(this.#share, path);
    checkLocks(this.#share, tokens, path, { member });
    return kind;
  }

  async #run(request: IncomingMessage, end: () => void): Promise<void> {
    const task = this.#tasks.get(request);
    if (task === undefined) return end();
    const { call, method, done } = task;
    // The package lets scripts of every site read; that is not for it to decide.
    for (const name of call.res.getHeaderNames()) {
      if (/^(?:access-control-|www-authenticate|allow$|server$)/.test(name)) {
        call.res.removeHeader(name);
      }
    }
    call.res.setHeader('DAV', this.#readonly ? '1' : '1, 2');
    try {
      await method(call);
      end();
      done();
    } catch (error) {
      done(error);
    }
  }

  readonly #options: Method = async ({ res }) => {
    const offered = [...methods.keys()].filter((name) => this.serves(name));
    const allow = ['OPTIONS', 'GET', 'HEAD', ...(this.#readonly ? [] : ['PUT']), ...offered];
    res.writeHead(200, { Allow: allow.join(', '), 'Content-Length': 0 });
  };
}

/** The body as text. @throws DavError 413 before memory is spent on it. */
async function readBody(req: IncomingMessage): Promise<string> {
  if (Number(req.headers['content-length'] ?? 0) > bodyBytesMax) throw tooLarge();
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > bodyBytesMax) throw tooLarge();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

function tooLarge(): DavError {
  return new DavError(413, 'The body is too large.');
}
