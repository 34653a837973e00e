/** Typed readers of result columns. Drivers disagree on types; what is out of range is an error. */
import { OmgfsError } from '@omgfs/protocol';
import type { Row } from './engine.ts';

/**
 * An integer column.
 * @throws FAILURE for NULL and for what a JavaScript number cannot hold exactly.
 */
export function int(row: Row, column: string): number {
  return integerOf(row[column], column);
}

/** The same of a value: hot loops read columns by their names in the text, which V8 does faster. */
export function integerOf(value: unknown, column: string): number {
  // Aggregates arrive as decimal text, large integers as text or bigint.
  const number = typeof value === 'number' ? value : value === null ? Number.NaN : Number(value);
  if (Number.isSafeInteger(number)) return number;
  throw new OmgfsError('FAILURE', {
    message: `The database holds ${String(value)} in ${column}, which is out of range.`,
  });
}

export function intOrNull(row: Row, column: string): number | null {
  const value = row[column];
  return value === null || value === undefined ? null : int(row, column);
}

/** A column of bytes as a byte string; NULL becomes an empty one. */
export function text(row: Row, column: string): string {
  return textOrNull(row, column) ?? '';
}

export function textOrNull(row: Row, column: string): string | null {
  return textOf(row[column], column);
}

/** The same of a value. */
export function textOf(value: unknown, column: string): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value === 'string') return value;
  if (Buffer.isBuffer(value)) return value.toString('latin1');
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.length).toString('latin1');
  }
  throw new OmgfsError('FAILURE', { message: `The database answered no bytes in ${column}.` });
}
