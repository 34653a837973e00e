/**
 * Who may talk to this node: clients in the allowed networks, and, where a secret is set, requests
 * whose URL a tracker has signed (design section 9). Health needs no signature.
 */
import { type BlockList, isIP } from 'node:net';
import { OmgfsError, pullHeaders, pullMethod, verifySignature } from '@omgfs/protocol';
import { postKindOf } from '../http/post-kind.ts';
import type { RequestHead } from '../http/reply.ts';
import { parseNetworks } from './networks.ts';

export interface AccessRules {
  /** Clients must be in one of these; empty for no limit. */
  networks: readonly BlockList[];
  /** A signature by any of these is asked for; empty for none. */
  secrets: readonly string[];
  /** Fetch replicas from other nodes for those who may ask for that. */
  pull: boolean;
}

/** What tools ask to see whether the node and its disks are well. */
const healthPath = /^\/(?:dev\d+\/usage)?$/;

/**
 * @param options.behindFront requests come from a server in front, which has checked networks.
 * @throws ADDRESS_REFUSED, UNAUTHORIZED.
 */
export function checkAccess(
  rules: AccessRules,
  req: RequestHead,
  { target, behindFront }: { target: string; behindFront: boolean },
): void {
  // A client that has reset its connection meanwhile has no address any more; its request is here.
  const address = req.socket.remoteAddress ?? '';
  if (!behindFront && !isAllowed(rules, address)) throw new OmgfsError('ADDRESS_REFUSED');
  if (rules.secrets.length === 0) return;
  const { method = '' } = req;
  const kind = method === 'POST' ? postKindOf(req.headers) : undefined;
  // Each pull of a batch and each file of a bundle has a signature of its own.
  if (kind === 'pulls' || kind === 'bundle') return;
  const signed = kind === 'pull' ? pullMethod(String(req.headers[pullHeaders.source])) : method;
  checkSignature(rules.secrets, signed, target);
}

/** One pull of a batch. @throws UNAUTHORIZED. */
export function checkPull(rules: AccessRules, pull: { source: string; target: string }): void {
  if (rules.secrets.length === 0) return;
  checkSignature(rules.secrets, pullMethod(pull.source), pull.target);
}

/** One file of a bundle. @throws UNAUTHORIZED. */
export function checkBundled(rules: AccessRules, target: string): void {
  if (rules.secrets.length > 0) checkSignature(rules.secrets, 'GET', target);
}

/**
 * Whether this node may be made to fetch from a host: a signature names the source; without one
 * both ends must be in the allowed networks. A node that trusts everybody fetches from nobody.
 */
export function mayPullFrom(rules: AccessRules, host: string): boolean {
  if (!rules.pull) return false;
  if (rules.secrets.length > 0) return true;
  return rules.networks.length > 0 && isIP(host) > 0 && isAllowed(rules, host);
}

/** Whether an address lies in the allowed networks. */
export function isAllowed({ networks }: Pick<AccessRules, 'networks'>, address: string): boolean {
  if (networks.length === 0) return true;
  const plain = address.replace(/^::ffff:(?=\d+\.)/i, '');
  const family = plain.includes(':') ? 'ipv6' : 'ipv4';
  return networks.some((network) => network.check(plain, family));
}

/** Whether an address is one of this machine, so that its owner could stop the node anyway. */
export function isLoopback(address: string): boolean {
  return isAllowed({ networks: loopback }, address);
}

const loopback = parseNetworks('127.0.0.0/8 ::1');

function checkSignature(secrets: readonly string[], method: string, target: string): void {
  const [path = '', query = ''] = target.split(/\?(.*)/s);
  if ((method === 'GET' || method === 'HEAD') && healthPath.test(path)) return;
  const nowSeconds = Math.floor(Date.now() / 1000);
  const verdict = verifySignature({ secrets, method, path, query, nowSeconds });
  if (verdict === 'valid') return;
  throw new OmgfsError('UNAUTHORIZED', {
    message: `URLs must be signed by a tracker for ${method} here; this one is ${verdict}.`,
  });
}
