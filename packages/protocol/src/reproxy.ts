/**
 * Headers by which an application answers a download so that the proxy in front of it fetches the
 * bytes from a storage node: four shapes from one list of replica URLs (docs/reproxy.md).
 */
import { OmgfsError } from './errors.ts';

/**
 * - `nginx`: `X-Accel-Redirect` to an internal location and the URLs for it in `X-Reproxy-URL`;
 *   tries up to three.
 * - `perlbal`: the list of URLs, tried in turn, with the expected size where known.
 * - `single`: one URL, for proxies that take the whole value for one (h2o, Apache mod_reproxy).
 * - `redirect`: the client itself is sent to a storage node; answer with status 302.
 */
export type ReproxyShape = 'nginx' | 'perlbal' | 'single' | 'redirect';

export interface ReproxyOptions {
  shape: ReproxyShape;
  /** Internal location of nginx; by default that of `deploy/nginx`. */
  location?: string;
  /** Length of the file in bytes: Perlbal takes a replica of another length for broken. */
  sizeBytes?: number;
  /**
   * How long a proxy may remember the URLs, in seconds: Perlbal, and nginx with an answer cache. So
   * long it goes on serving who lost the right to read, and the former version of a file.
   */
  cacheSeconds?: number;
  /**
   * Whom the remembered answer is for: whoever sends the same `Cookie` and `Authorization` (by
   * default with nginx), or everyone (always with Perlbal, so for a user nothing is remembered).
   */
  cacheFor?: 'user' | 'everyone';
}

const nginxUrlsMax = 3;
const locationDefault = '/reproxy';

/**
 * Headers for the answer, names as the proxies document them.
 * @throws NO_REPLICA_UP when there is no path; BAD_ARGS for one that is no plain http URL: it would
 * end up in a header, and in the proxy's request.
 */
export function reproxyHeaders(
  paths: readonly string[],
  options: ReproxyOptions,
): Record<string, string> {
  const [first] = paths;
  if (first === undefined) throw new OmgfsError('NO_REPLICA_UP');
  for (const path of paths) checkUrl(path);
  const { shape, location = locationDefault, sizeBytes, cacheSeconds, cacheFor } = options;
  if (shape === 'redirect') return { Location: first };
  if (shape === 'single') return { 'X-Reproxy-URL': first };
  const headers: Record<string, string> = {};
  if (shape === 'nginx') {
    headers['X-Accel-Redirect'] = location;
    headers['X-Reproxy-URL'] = paths.slice(0, nginxUrlsMax).join(' ');
    if (cacheSeconds === undefined) return headers;
    headers['X-Accel-Expires'] = String(cacheSeconds);
    headers['X-Reproxy-For'] = cacheFor ?? 'user';
    return headers;
  }
  headers['X-REPROXY-URL'] = paths.join(' ');
  if (sizeBytes !== undefined) headers['X-REPROXY-EXPECTED-SIZE'] = String(sizeBytes);
  if (cacheSeconds !== undefined && cacheFor !== 'user') {
    headers['X-REPROXY-CACHE-FOR'] = `${cacheSeconds}; Content-Type Last-Modified`;
  }
  return headers;
}

function checkUrl(url: string): void {
  if (/^http:\/\/[A-Za-z0-9.-]+(?::\d{1,5})?\/[!-~]*$/.test(url)) return;
  const message = `'${url}' is no URL that a proxy can be sent to`;
  throw new OmgfsError('BAD_ARGS', { message });
}
