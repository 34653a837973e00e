/** Numbers and addresses on the command line. */
import { isIPv4 } from 'node:net';
import { InvalidArgumentError } from 'commander';

/** A whole number above a limit; to be given to commander as the parser of an argument. */
export function numberAbove(limit: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value > limit) return value;
    throw new InvalidArgumentError(
      limit < 0 ? 'It must be a number.' : `It must be a number above ${limit}.`,
    );
  };
}

/** A whole number between two bounds, which are allowed. */
export function numberWithin(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new InvalidArgumentError(`It must be a number from ${least} to ${most}.`);
  };
}

/** A device: `3` or `dev3`. */
export function deviceId(text: string): number {
  const devid = /^(?:dev)?([1-9]\d{0,8})$/.exec(text)?.[1];
  if (devid !== undefined) return Number(devid);
  throw new InvalidArgumentError('It must be a device, like 3 or dev3.');
}

/** Bytes a second: `500K`, `20M`, `1G`, or a number of bytes. */
export function byteRate(text: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)([kmg]?)(?:i?b)?$/i.exec(text);
  const power = { '': 0, k: 1, m: 2, g: 3 }[match?.[2]?.toLowerCase() ?? ''] ?? 0;
  const rate = Number(match?.[1]) * 1024 ** power;
  if (rate >= 1) return rate;
  throw new InvalidArgumentError('It must be bytes a second, like 500K or 20M.');
}

/** An address that the database has room for. */
export function ipv4(text: string): string {
  if (isIPv4(text)) return text;
  throw new InvalidArgumentError('It must be an IPv4 address, like 10.0.0.4.');
}

export const portNumber = numberWithin(1, 65_535);
