/**
 * Network zones as MogileFS-Network defines them (spec §6.5, §6.6): `network_zones` names them,
 * `zone_<name>` lists their netmasks, and the most specific netmask wins. Pure.
 */
import { isIPv4 } from 'node:net';
import { parseNetmask } from './netmask.ts';

interface Zone {
  name: string;
  base: number;
  bits: number;
}

export class Networks {
  readonly #zones: readonly Zone[];

  constructor(setting: (field: string) => string | undefined) {
    const zones: Zone[] = [];
    for (const name of words(setting('network_zones'))) {
      for (const mask of words(setting(`zone_${name}`))) {
        const netmask = parseNetmask(mask);
        if (netmask === undefined) continue;
        const { address, bits } = netmask;
        zones.push({ name, base: prefixOf(address, bits), bits });
      }
    }
    this.#zones = zones.sort((a, b) => b.bits - a.bits);
  }

  /** The zone of an address; outside all zones its /16; what is no IPv4 address is by itself. */
  of(address: string): string {
    if (!isIPv4(address)) return address;
    const zone = this.#zones.find(({ base, bits }) => prefixOf(address, bits) === base);
    return zone?.name ?? `${address.split('.', 2).join('.')}.0.0/16`;
  }
}

function words(text: string | undefined): string[] {
  return (text ?? '').split(/[\s,]+/).filter((word) => word !== '');
}

function prefixOf(address: string, bits: number): number {
  const value = address.split('.').reduce((sum, part) => sum * 256 + Number(part), 0);
  return Math.floor(value / 2 ** (32 - bits));
}
