/** Networks as an operator writes them: `10.0.0.0/8`, `2001:db8::/32`, or a single address. */
import { BlockList, isIP } from 'node:net';

/** @throws Error that names the part that is no network. */
export function parseNetworks(text: string): BlockList[] {
  const parts = text.split(/[\s,]+/).filter((part) => part !== '');
  return parts.map((part) => {
    const [address = '', bits, more] = part.split('/');
    // An address with a zone is one of a single link, and no network.
    const version = more !== undefined || address.includes('%') ? 0 : isIP(address);
    const most = version === 6 ? 128 : 32;
    const length = bits === undefined ? most : /^\d{1,3}$/.test(bits) ? Number(bits) : -1;
    if (version === 0 || length < 0 || length > most) {
      throw new Error(`'${part}' is not ip or ip/bits`);
    }
    const network = new BlockList();
    network.addSubnet(address, length, version === 6 ? 'ipv6' : 'ipv4');
    return network;
  });
}
