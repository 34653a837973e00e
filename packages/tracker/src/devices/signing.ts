/**
 * Signs URLs of storage nodes where the nodes want that (design section 9): what the tracker asks
 * itself on its way out, and what it hands to clients.
 */
import { signPath } from '@omgfs/protocol';
import type { Dispatcher } from 'undici';

export interface SigningOptions {
  /** Shared with the storage nodes; undefined leaves URLs as they are. */
  urlSecret: string | undefined;
  /** How long a URL given to a client is good, in seconds. */
  urlTtlSeconds: number;
}

/** For what the tracker asks itself, which happens at once; clocks may differ by that much. */
const ownTtlSeconds = 900;

/** Signs a URL for a method; the URL itself when no secret is set. */
export type SignUrl = (method: 'GET' | 'PUT' | 'MOVE', url: string) => string;

export function createSignUrl({ urlSecret: secret, urlTtlSeconds }: SigningOptions): SignUrl {
  if (secret === undefined) return (_, url) => url;
  return (method, url) => {
    const { origin, pathname } = new URL(url);
    const expires = nowSeconds() + urlTtlSeconds;
    return origin + signPath({ secret, method, path: pathname, expires });
  };
}

/** An undici interceptor that signs every request. */
export function signing(secret: string): Dispatcher.DispatcherComposeInterceptor {
  return (dispatch) => (options, handler) => {
    const { method, path } = options;
    return dispatch({ ...options, path: ownSignature(secret, method, path) }, handler);
  };
}

/** A path as the tracker itself asks for it, at once. */
export function ownSignature(secret: string, method: string, path: string): string {
  return signPath({ secret, method, path, expires: nowSeconds() + ownTtlSeconds });
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}
