/**
 * Goal: more rows than a piece in memory come back in byte order, of equal keys the last one.
 */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { joinRows, type Row, SortedRows } from '../src/migrate/rows/sorted-rows.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-rows-'));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

/** Long enough that a few hundred fill a piece. */
const padding = 'x'.repeat(20_000);

async function keysOf(rows: AsyncIterable<Row>): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of rows) keys.push(key);
  return keys;
}

test('rows beyond the memory', async () => {
  const keys = Array.from({ length: 1500 }, (_, at) => `k\n${(at * 7919) % 1500}\xff`);
  const rows = [...keys, ...keys].map((key, at) => ({ key, value: `${at}\u2028${padding}` }));
  const sorted = await SortedRows.from(rows, { dir, name: 'n' });
  expect(readdirSync(dir).length).toBeGreaterThan(2);
  expect(sorted.count).toBe(3000);
  const found: Row[] = [];
  for await (const row of sorted)
    found.push({ key: row.key, value: row.value.split('\u2028')[0]! });
  const expected = keys
    .map((key, at) => ({ key, value: String(at + 1500) }))
    .sort((a, b) => (a.key < b.key ? -1 : 1));
  expect(found).toEqual(expected);
  // It can be read again.
  expect(await keysOf(sorted)).toHaveLength(1500);
  await sorted.remove();
  expect(readdirSync(dir)).toEqual([]);
});

test('two passes side by side', async () => {
  const of = (...keys: string[]) =>
    SortedRows.from(
      keys.map((key) => ({ key, value: key })),
      { dir, name: 'j' },
    );
  const joined: unknown[] = [];
  for await (const row of joinRows(await of('c', 'a'), await of('d', 'b', 'c'))) joined.push(row);
  expect(joined).toEqual([
    { key: 'a', left: 'a', right: undefined },
    { key: 'b', left: undefined, right: 'b' },
    { key: 'c', left: 'c', right: 'c' },
    { key: 'd', left: undefined, right: 'd' },
  ]);
});
