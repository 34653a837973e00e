/** Where requests of the WebDAV share go. Apart from it: who has no share loads no WebDAV. */
import type { FastifyInstance, FastifyRequest } from 'fastify';

/** Methods that HTTP itself does not have. */
export const davMethods = ['PROPFIND', 'PROPPATCH', 'MKCOL', 'COPY', 'MOVE', 'LOCK', 'UNLOCK'];
export const davRoute = '/dav';

/**
 * Where the router is to look. It would decode addresses as UTF-8 and refuse those of keys that are
 * none. Windows asks the root of a server what it can do before it asks for a share.
 */
export function routeOf(method: string | undefined, url: string): string {
  if (/^\/dav(?:[/?]|$)/.test(url)) return davRoute;
  const isProbe = method === 'OPTIONS' || method === 'PROPFIND';
  return isProbe && (url === '/' || url === '*') ? davRoute : url;
}

export function isDav(request: FastifyRequest): boolean {
  return request.routeOptions.url === davRoute;
}

/** To be called before any route is added. */
export function addDavMethods(app: FastifyInstance): void {
  for (const method of davMethods) app.addHttpMethod(method, { hasBody: true });
}
