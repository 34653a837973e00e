/** Who may use the HTTP API: networks, tokens, and no page of a browser that shows another site. */
import { createHash, timingSafeEqual } from 'node:crypto';
import { type BlockList, isIP } from 'node:net';
import { OmgfsError } from '@omgfs/protocol';

export interface AccessRules {
  /** Bearer token for everything; undefined when none is asked for. */
  token: string | undefined;
  /** Bearer token for requests that change nothing. */
  readToken: string | undefined;
  /** Clients must be in one of these networks; empty for no limit. */
  networks: readonly BlockList[];
  /** The name of this machine, by which clients may call it. */
  hostname: string;
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
  if (token === undefined && readToken === undefined) {
    if (isOwnName(rules, request.host)) return;
    const message =
      'Without a token this API is called by its address, not by a name: ' +
      'use the IP address, or set http_token and send it.';
    throw new OmgfsError('CROSS_ORIGIN', { message });
  }
  const given = tokenIn(request);
  const accepted = request.readOnly ? [token, readToken] : [token];
  if (!accepted.some((known) => known !== undefined && isEqual(known, given))) {
    throw new OmgfsError('UNAUTHORIZED');
  }
}

/** Whether the request carries the token for everything, and so may see the network inside. */
export function isOperator(
  { token }: AccessRules,
  request: Pick<AccessRequest, 'authorization' | 'basic'>,
): boolean {
  return token !== undefined && isEqual(token, tokenIn(request));
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

/**
 * Whether no page of another site can have led a browser here by that name. Its owner may let
 * `evil.example` stand for this machine after the page was loaded (DNS rebinding): to the browser
 * both are one site then, and Origin equals Host. Such a name has a dot; an upstream of nginx none.
 */
function isOwnName({ hostname }: AccessRules, host = ''): boolean {
  const name = host.replace(/:\d*$/, '').toLowerCase();
  const literal = /^\[(.*)\]$/.exec(name)?.[1];
  if (literal !== undefined) return isIP(literal) === 6;
  return isIP(name) === 4 || /^[\w-]*$/.test(name) || name === hostname.toLowerCase();
}

function tokenIn({
  authorization = '',
  basic = false,
}: Pick<AccessRequest, 'authorization' | 'basic'>): string {
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
