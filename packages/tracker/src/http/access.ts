/** Who may use the HTTP API: networks, tokens, and no page of a browser that shows another site. */
import { createHash, timingSafeEqual } from 'node:crypto';
import type { BlockList } from 'node:net';
import { OmgfsError } from '@omgfs/protocol';

export interface AccessRules {
  /** Bearer token for everything; undefined when none is asked for. */
  token: string | undefined;
  /** Bearer token for requests that change nothing. */
  readToken: string | undefined;
  /** Clients must be in one of these networks; empty for no limit. */
  networks: readonly BlockList[];
}

export interface AccessRequest {
  address: string;
  /** It changes nothing. */
  readOnly: boolean;
  /** The token may come as the password of a user of any name, which is all many programs know. */
  basic?: boolean;
  authorization: string | undefined;
  origin: string | undefined;
  host: string | undefined;
}

/** @throws ADDRESS_REFUSED, UNAUTHORIZED, CROSS_ORIGIN. */
export function checkAccess(rules: AccessRules, request: AccessRequest): void {
  checkNetwork(rules, request.address);
  // A browser sends Origin with what a page makes it do: another site must not steer the cluster
  // through the browser of an operator.
  if (!request.readOnly && request.origin !== undefined && !isSameOrigin(request)) {
    throw new OmgfsError('CROSS_ORIGIN');
  }
  const { token, readToken } = rules;
  if (token === undefined && readToken === undefined) return;
  const given = tokenIn(request);
  const accepted = request.readOnly ? [token, readToken] : [token];
  if (!accepted.some((known) => known !== undefined && isEqual(known, given))) {
    throw new OmgfsError('UNAUTHORIZED');
  }
}

/** @throws ADDRESS_REFUSED. */
export function checkNetwork({ networks }: AccessRules, address: string): void {
  if (networks.length === 0) return;
  const family = address.includes(':') ? 'ipv6' : 'ipv4';
  if (networks.some((network) => network.check(address, family))) return;
  throw new OmgfsError('ADDRESS_REFUSED');
}

function isSameOrigin({ origin, host }: AccessRequest): boolean {
  try {
    return new URL(origin ?? '').host === host;
  } catch {
    return false;
  }
}

function tokenIn({ authorization = '', basic = false }: AccessRequest): string {
  const [, scheme = '', text = ''] = /^(\w+) +(\S+) *$/.exec(authorization) ?? [];
  if (/^bearer$/i.test(scheme)) return text;
  if (!basic || !/^basic$/i.test(scheme)) return '';
  return Buffer.from(text, 'base64')
    .toString('utf8')
    .replace(/^[^:]*:/, '');
}

/** Takes the same time whatever is wrong with the guess. */
function isEqual(known: string, given: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(known), digest(given));
}
