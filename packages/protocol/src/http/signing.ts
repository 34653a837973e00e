/**
 * Signed URLs of storage nodes (design section 9): whoever knows the shared secret allows one
 * method on one path until a time. A signature is two query arguments, so that every client and
 * proxy that passes a URL on passes it on too.
 */
import { createHmac, timingSafeEqual } from 'node:crypto';

export interface SignRequest {
  secret: string;
  /** HTTP method; a signature for GET is good for HEAD. */
  method: string;
  /** Path without a query. */
  path: string;
  /** Unix seconds from which on it is refused. */
  expires: number;
}

/** The path with its signature: `<path>?e=<expires>&s=<HMAC-SHA256 in base64url>`. */
export function signPath(request: SignRequest): string {
  return `${request.path}?e=${request.expires}&s=${signatureOf(request)}`;
}

/** `unsigned` has no signature, `expired` had a right one, `wrong` never. */
export type SignatureVerdict = 'valid' | 'unsigned' | 'expired' | 'wrong';

/** Several secrets are good at the same time, so that one can follow another. */
export function verifySignature(request: {
  secrets: readonly string[];
  method: string;
  path: string;
  query: string;
  nowSeconds: number;
}): SignatureVerdict {
  const { secrets, method, path, query, nowSeconds } = request;
  const args = new URLSearchParams(query);
  const [e, s] = [args.get('e'), args.get('s')];
  if (e === null || s === null) return 'unsigned';
  const expires = /^\d{1,15}$/.test(e) ? Number(e) : Number.NaN;
  const given = Buffer.from(s);
  const right = secrets.some((secret) => {
    const known = Buffer.from(signatureOf({ secret, method, path, expires }));
    return known.length === given.length && timingSafeEqual(known, given);
  });
  if (!right) return 'wrong';
  return expires > nowSeconds ? 'valid' : 'expired';
}

function signatureOf({ secret, method, path, expires }: SignRequest): string {
  const allowed = method === 'HEAD' ? 'GET' : method;
  return createHmac('sha256', secret).update(`${allowed}\n${path}\n${expires}`).digest('base64url');
}
