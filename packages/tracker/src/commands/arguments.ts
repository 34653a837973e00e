/** Checks that many commands share, in the words of spec §2 "General rules". */
import { type Fields, isTrue, limits, OmgfsError } from '@omgfs/protocol';
import type { Domain } from '../placement/model.ts';
import type { Topology } from '../topology/topology.ts';

/** @throws NO_DOMAIN, UNREG_DOMAIN. */
export function domainOf(topology: Topology, args: Fields): Domain {
  const name = args.domain;
  if (name === undefined || name === '') throw new OmgfsError('NO_DOMAIN');
  const domain = topology.domain(name);
  if (domain === undefined) throw new OmgfsError('UNREG_DOMAIN');
  return domain;
}

/** A key that may be looked up; `0` is a key like any other. @throws NO_KEY. */
export function keyOf(args: Fields, name = 'key'): string {
  const key = args[name];
  if (key === undefined || key === '') throw new OmgfsError('NO_KEY');
  return key;
}

/** A key that is to be stored. @throws KEY_TOO_LONG, so that no key is ever cut silently. */
export function checkKeyLength(key: string): string {
  if (key.length > limits.keyBytesMax) throw new OmgfsError('KEY_TOO_LONG');
  return key;
}

/** Digits at the start as the original reads numbers: `abc` is 0, `3.7` is 3, `-5` is -5. */
export function integerOf(text: string | undefined): number {
  const match = /^\s*([+-]?\d+)/.exec(text ?? '');
  const value = match === null ? 0 : Number(match[1]);
  return Number.isSafeInteger(value) ? value : limits.fidMax;
}

/** A number as the original reads it: `1e3` is 1000, `12kB` is 12, ` 7` is 7, `abc` is 0. */
export function numberOf(text: string | undefined): number {
  const match = /^\s*[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?/.exec(text ?? '');
  return match === null ? 0 : Number(match[0]);
}

/** A value that must be true in the sense of the original. */
export function requiredArg(
  args: Fields,
  name: string,
  code: ConstructorParameters<typeof OmgfsError>[0],
): string {
  const value = args[name];
  if (value === undefined || !isTrue(value)) throw new OmgfsError(code);
  return value;
}

/** A row id: plain digits, or undefined. */
export function idOf(text: string | undefined): number | undefined {
  return text !== undefined && /^\d{1,15}$/.test(text) ? Number(text) : undefined;
}
