/** Networks as settings and hosts of the original spell them (spec §3.5, §4.2). Pure. */
import { isIPv4 } from 'node:net';

export interface Netmask {
  address: string;
  bits: number;
}

const pattern = /^(\d+(?:\.\d+){0,3})(?:\/(\d+)|[/:](\d+\.\d+\.\d+\.\d+))?$/;

/**
 * `10.0.0.0/8`, `10/8`, `10.0.0.0/255.0.0.0`, with a colon too, the first bytes of a network, or an
 * address; undefined for anything else.
 */
export function parseNetmask(text: string): Netmask | undefined {
  const [, network = '', width, mask] = pattern.exec(text.trim()) ?? [];
  const octets = network.split('.');
  const address = [...octets, '0', '0', '0'].slice(0, 4).join('.');
  const bits = mask === undefined ? Number(width ?? octets.length * 8) : bitsOf(mask);
  if (!isIPv4(address) || bits === undefined || bits > 32) return undefined;
  return { address, bits };
}

/** Leading ones of a mask as `255.255.0.0`; undefined for what is none. */
function bitsOf(mask: string): number | undefined {
  if (!isIPv4(mask)) return undefined;
  const digits = mask.split('.').map((part) => Number(part).toString(2).padStart(8, '0'));
  return /^(1*)0*$/.exec(digits.join(''))?.[1]?.length;
}
