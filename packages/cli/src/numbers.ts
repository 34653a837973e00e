/** Numbers on the command line. */
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

/** A device: `3` or `dev3`. */
export function deviceId(text: string): number {
  const devid = /^(?:dev)?([1-9]\d{0,8})$/.exec(text)?.[1];
  if (devid !== undefined) return Number(devid);
  throw new InvalidArgumentError('It must be a device, like 3 or dev3.');
}
