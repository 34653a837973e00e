/** Pieces of SQL text: lists in a few sizes, so that few statements get prepared, and literals. */
import { OmgfsError } from '@omgfs/protocol';
import type { SqlValue } from './engine.ts';

/** Close enough that little is sent twice; few enough to stay prepared on each connection. */
const sizes = [1, 2, 4, 8, 12, 16, 20, 24, 32, 40, 48, 64, 96, 128, 192, 256] as const;

/** Most values of one list. */
export const listMax = 256;

/** The next of the few sizes; lists are filled up to it by repeating their last value. */
export function paddedSize(count: number): number {
  const size = sizes.find((candidate) => candidate >= count);
  if (size === undefined) throw new RangeError(`a list of ${count} values`);
  return size;
}

/** Repeats the last value up to the next of the few sizes. */
export function padded<T>(values: readonly T[]): T[] {
  const last = values[values.length - 1] as T;
  const out = values.slice();
  for (let left = paddedSize(values.length) - values.length; left > 0; left -= 1) out.push(last);
  return out;
}

/** `(?, ?, …)` for an already padded list. */
export function marks(count: number): string {
  return `(${Array(count).fill('?').join(', ')})`;
}

/** Cuts a list into pieces that one statement can carry. */
export function chunks<T>(values: readonly T[]): T[][] {
  const out: T[][] = [];
  for (let at = 0; at < values.length; at += listMax) out.push(values.slice(at, at + listMax));
  return out;
}

/** Rows as literals, `(1, x'6b6579'), …`: numbers must be integers, bytes are written in hex. */
export function tuples(rows: readonly (readonly (SqlValue | Raw)[])[]): string {
  return rows.map((row) => `(${row.map(literal).join(', ')})`).join(', ');
}

/** SQL text in the place of a value. */
export class Raw {
  readonly sql: string;

  constructor(sql: string) {
    this.sql = sql;
  }
}

function literal(value: SqlValue | Raw): string {
  if (value === null) return 'NULL';
  if (value instanceof Raw) return value.sql;
  if (typeof value === 'number') return integer(value);
  return `x'${value.toString('hex')}'`;
}

/**
 * The digits of an integer, for places where a placeholder cannot stand (LIMIT).
 * @throws BAD_PARAMS for anything else.
 */
export function integer(value: number): string {
  if (Number.isSafeInteger(value)) return String(value);
  throw new OmgfsError('BAD_PARAMS', { message: `${value} is not an integer.` });
}

/** A byte string as a value. */
export function bytes(text: string): Buffer {
  return Buffer.from(text, 'latin1');
}
