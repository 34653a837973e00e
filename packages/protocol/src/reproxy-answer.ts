/**
 * The whole answer to a download that a proxy completes: status and headers from the URLs of the
 * replicas and what the application knows of the file (docs/reproxy.md).
 */
import { BlockList, isIP } from 'node:net';
import { contentDisposition, type Disposition } from './disposition.ts';
import { OmgfsError } from './errors.ts';
import { type ReproxyOptions, reproxyHeaders } from './reproxy.ts';

export interface ReproxyAnswerOptions extends ReproxyOptions {
  /** Storage nodes do not know it; default `application/octet-stream`. */
  contentType?: string;
  /** How a browser takes the file; `attachment` when only a file name is given. */
  disposition?: Disposition;
  /** Name that a browser saves it under, any text. */
  filename?: string;
  /** Whole value of `Cache-Control`. */
  cacheControl?: string;
  /**
   * Tag of this version, with or without its quotes. Behind nginx clients see the storage node's
   * in its place.
   */
  etag?: string;
  lastModified?: Date;
  /** Networks as `ip/bits`, best first: replicas in them are tried before the others. */
  preferredNetworks?: readonly string[];
  /** `If-None-Match` of the request: answered with 304 where it names the `etag`. */
  ifNoneMatch?: string | undefined;
}

export interface ReproxyAnswer {
  status: 200 | 302 | 304;
  headers: Record<string, string>;
}

/**
 * The answer has no body. Its status is 200 for a request with a range, too: the storage node's
 * 206 or 416 takes its place.
 *
 * @example reproxyAnswer(paths, { shape: 'nginx', contentType: 'image/png', filename: 'cat.png' })
 * @throws NO_REPLICA_UP without a path; BAD_ARGS for what cannot stand in a header, or a network
 * that is none.
 */
export function reproxyAnswer(
  paths: readonly string[],
  options: ReproxyAnswerOptions,
): ReproxyAnswer {
  const { etag, cacheControl, ifNoneMatch, preferredNetworks = [] } = options;
  const tag = etag === undefined ? undefined : quoted(etag);
  const known = tag !== undefined && ifNoneMatch !== undefined && matches(ifNoneMatch, tag);
  const headers = known ? {} : reproxyHeaders(preferNetworks(paths, preferredNetworks), options);
  // Headers would describe the redirect, not the file; and where its replicas are may change.
  if (options.shape === 'redirect' && !known) {
    headers['Cache-Control'] = 'no-store';
    return { status: 302, headers };
  }
  if (!known) addFileHeaders(headers, options);
  addText(headers, 'ETag', tag);
  addText(headers, 'Cache-Control', cacheControl);
  return { status: known ? 304 : 200, headers };
}

/** The same URLs, those in the first network first; the order within a network stays. */
export function preferNetworks(
  paths: readonly string[],
  networks: readonly string[],
): readonly string[] {
  if (networks.length === 0) return paths;
  const lists = networks.map(networkOf);
  const rank = (path: string) => {
    const host = URL.canParse(path) ? new URL(path).hostname : '';
    const at = lists.findIndex((list) => isIP(host) === 4 && list.check(host));
    return at < 0 ? lists.length : at;
  };
  return [...paths].sort((one, other) => rank(one) - rank(other));
}

function networkOf(text: string): BlockList {
  const match = /^([\d.]+)(?:\/(\d{1,2}))?$/.exec(text);
  const [, ip = '', bits = '32'] = match ?? [];
  if (isIP(ip) !== 4 || Number(bits) > 32) {
    throw new OmgfsError('BAD_ARGS', { message: `'${text}' is no network like 10.0.0.0/8` });
  }
  const list = new BlockList();
  list.addSubnet(ip, Number(bits));
  return list;
}

function addFileHeaders(headers: Record<string, string>, options: ReproxyAnswerOptions): void {
  const { contentType = 'application/octet-stream', filename, lastModified } = options;
  const { disposition = filename === undefined ? undefined : 'attachment' } = options;
  addText(headers, 'Content-Type', contentType);
  const saved = disposition && contentDisposition(disposition, filename);
  addText(headers, 'Content-Disposition', saved);
  addText(headers, 'Last-Modified', lastModified?.toUTCString());
  headers['Content-Length'] = '0';
}

/** If it has a value. @throws BAD_ARGS for a line break or anything but ASCII. */
function addText(headers: Record<string, string>, name: string, value: string | undefined): void {
  if (value === undefined) return;
  if (!/^[\t -~]*$/.test(value)) {
    const message = `${name} cannot be ${JSON.stringify(value)}: only printable ASCII can stand`;
    throw new OmgfsError('BAD_ARGS', { message: `${message} in a header` });
  }
  headers[name] = value;
}

function quoted(etag: string): string {
  if (/^(?:W\/)?"[!#-~]*"$/.test(etag)) return etag;
  if (/^[!#-~]+$/.test(etag)) return `"${etag}"`;
  throw new OmgfsError('BAD_ARGS', { message: `${JSON.stringify(etag)} is no entity tag` });
}

/** Compares weakly, as RFC 9110 §13.1.2 asks for. */
function matches(condition: string, etag: string): boolean {
  const opaque = etag.replace(/^W\//, '');
  if (condition.trim() === '*') return true;
  return Array.from(condition.matchAll(/"[^"]*"/g), ([tag]) => tag).includes(opaque);
}
