/**
 * Text on SQLite is TEXT, as MogileFS stores it there, and a BLOB of the same bytes is another
 * value. A driver binds bytes as a BLOB; the cast makes them TEXT and keeps every byte, whether
 * they are UTF-8 or not. Pure.
 */
import type { SqlValue } from '../sql/engine.ts';

/** Digests are no text, and tables of ours keep bytes as they are. */
const bytesTables = /\b(?:omg_\w+|checksum)\b/;

/** Which marks of a statement stand for bytes: statements that differ in it are prepared apart. */
export function bytesMask(values: readonly SqlValue[]): string {
  let mask = '';
  for (const value of values) mask += typeof value === 'number' ? '0' : '1';
  return mask;
}

/** The statement with its bytes as text. */
export function marksAsText(sql: string, mask: string): string {
  if (!mask.includes('1') || bytesTables.test(sql)) return sql;
  let at = 0;
  return sql.replaceAll('?', () => (mask[at++] === '1' ? 'CAST(? AS TEXT)' : '?'));
}

/** The same for bytes that are written out. */
export function literalsAsText(sql: string): string {
  return bytesTables.test(sql) ? sql : sql.replaceAll(/\bx'[0-9a-f]*'/g, 'CAST($& AS TEXT)');
}
