/** WebDAV on the device tree, and how the node's own methods respect its locks. */
import type { IncomingHttpHeaders } from 'node:http';
import { evaluateConditions } from '@omgfs/protocol';
import { DavError, WebDav } from '@omgfs/webdav';
import type { Devices } from '../device/devices.ts';
import { type StreamExchange, sendHead } from '../http/reply.ts';
import { DeviceFiles } from './device-files.ts';

/** Paths of the trackers, whose PUT and MKCOL make the directories above. */
const trackerPath =
  /^\/dev\d+\/(?:test-write(?:\/.*)?|\d(?:\/\d{3}){0,2}\/?|(?:\d\/\d{3}\/\d{3}\/\d{10,}\.fid))$/;

export class DeviceDav {
  readonly #dav: WebDav;
  readonly #files: DeviceFiles;
  /** The last conditional write of each path. */
  readonly #writes = new Map<string, Promise<void>>();
  /** Writes are allowed. */
  readonly full: boolean;

  constructor(devices: Devices, { full }: { full: boolean }) {
    this.full = full;
    this.#files = new DeviceFiles(devices);
    this.#dav = new WebDav({ files: this.#files, readonly: !full });
  }

  /**
   * Runs `work`, which takes and serves a request. Those with conditions take turns at a path:
   * nobody else's condition is judged by what is about to be replaced.
   */
  async inTurn({ req, target }: StreamExchange, work: () => Promise<void>): Promise<void> {
    const isWrite = req.method === 'PUT' || req.method === 'DELETE';
    if (!this.full || !isWrite || !isConditional(req.headers)) return work();
    const [path = ''] = target.split('?');
    const turn = (this.#writes.get(path) ?? Promise.resolve()).then(work);
    const over = turn.catch(() => {});
    this.#writes.set(path, over);
    try {
      await turn;
    } finally {
      if (this.#writes.get(path) === over) this.#writes.delete(path);
    }
  }

  /** Serves what is WebDAV's; @returns whether it did. @throws what is answered with a status. */
  async take(exchange: StreamExchange): Promise<boolean> {
    const { req, res, target } = exchange;
    const method = req.method ?? '';
    try {
      if (method === 'PUT' && this.full) {
        const parent = !trackerPath.test(target);
        await this.#dav.mayWrite(target, req.headers, { parent });
      }
      if (this.full && (method === 'PUT' || method === 'DELETE')) {
        await this.#checkConditions(target, req.headers);
      }
      if (!this.#dav.serves(method)) return false;
      // The trackers' own tests of a device and their MKCOL stay with the plain handlers.
      const plain = method === 'MKCOL' || (method === 'DELETE' && target.includes('/test-write/'));
      if (plain && trackerPath.test(target)) return false;
      const handling = () => this.#dav.handle(req, res, target);
      await (isWork(req) ? untimed(req, handling) : handling());
      return true;
    } catch (error) {
      if (!(error instanceof DavError)) throw error;
      refuse(exchange, error);
      return true;
    }
  }

  /** @throws DavError 412; trackers, which write each name once, send no conditions. */
  async #checkConditions(target: string, headers: IncomingHttpHeaders): Promise<void> {
    if (!isConditional(headers)) return;
    const asked: IncomingHttpHeaders = {};
    for (const name of writeConditions) asked[name] = headers[name];
    const facts = await this.#files.stat(this.#dav.pathOf(target));
    const { etag = '', modified = new Date(0) } = facts ?? {};
    const isMet =
      facts === undefined
        ? asked['if-match'] === undefined
        : evaluateConditions(asked, { etag, modifiedSeconds: Math.floor(+modified / 1000) }) ===
          'send';
    if (!isMet) throw new DavError(412, 'What is there is not what the request expects.');
  }
}

/** Of RFC 9110 §13, those by which clients keep what others wrote. */
const writeConditions = ['if-match', 'if-none-match', 'if-unmodified-since'] as const;

function isConditional(headers: IncomingHttpHeaders): boolean {
  return writeConditions.some((name) => headers[name] !== undefined);
}

/** Requests that may go on for long, and of which nothing more is to be read. */
function isWork({ method = '', headers }: StreamExchange['req']): boolean {
  const isBodiless =
    headers['transfer-encoding'] === undefined && Number(headers['content-length'] ?? 0) === 0;
  return isBodiless && ['COPY', 'MOVE', 'DELETE'].includes(method);
}

/**
 * Nothing moves on the connection while much is copied or removed, and interim answers are not for
 * every client (Go's takes five). A client that leaves ends the work all the same.
 */
async function untimed({ socket }: StreamExchange['req'], work: () => Promise<void>) {
  const idleMs = socket.timeout ?? 0;
  socket.setTimeout(0);
  try {
    await work();
  } finally {
    socket.setTimeout(idleMs);
  }
}

/** @returns undefined when WebDAV is off. */
function refuse({ req, res }: StreamExchange, error: DavError): void {
  if (res.headersSent) {
    req.socket.destroy();
    return;
  }
  const xml = error.condition && `<D:error xmlns:D="DAV:"><D:${error.condition}/></D:error>`;
  const body = Buffer.from(xml ?? `${error.message}\n`);
  const type = xml ? 'application/xml; charset=utf-8' : 'text/plain; charset=utf-8';
  sendHead(res, error.status, {
    'Content-Type': type,
    'Content-Length': body.length,
    // What follows an unread body cannot be told from the next request.
    ...(req.complete ? {} : { Connection: 'close' }),
  });
  res.end(body);
}
