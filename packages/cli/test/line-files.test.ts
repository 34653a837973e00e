/**
 * Goal: files of lines are read line by line whatever stands in them, and an import reads nothing
 * that only looks like one of its files. Method: real files, links and pipes.
 */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parseHead } from '../src/migrate/archive/manifest.ts';
import { LineLog, readLines } from '../src/migrate/rows/line-log.ts';
import { readManifest } from '../src/verify/manifest.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-lines-'));
afterAll(() => rmSync(dir, { recursive: true }));

async function linesOf(path: string): Promise<string[]> {
  const lines: string[] = [];
  for await (const line of readLines(path)) lines.push(line);
  return lines;
}

test('a link or a pipe in the place of a manifest is refused', async () => {
  const [real, link, pipe] = ['real', 'link', 'pipe'].map((name) => join(dir, name));
  writeFileSync(real as string, 'one\ntwo\nhalf');
  expect(await linesOf(real as string)).toEqual(['one', 'two']);
  expect(await linesOf(join(dir, 'none'))).toEqual([]);
  symlinkSync(real as string, link as string);
  execFileSync('mkfifo', [pipe as string]);
  for (const path of [link as string, pipe as string, dir]) {
    await expect(linesOf(path)).rejects.toMatchObject({ code: 'BAD_ARGS' });
    // Nor is anything written to what lies there.
    await expect(LineLog.open(path)).rejects.toMatchObject({ code: 'BAD_ARGS' });
  }
});

test('only a line feed ends a line of what clients were told', async () => {
  const told = join(dir, 'told');
  const keys = ['a\u2028b', 'c\u2029d', 'e\rf'];
  const lines = keys.map((key) => JSON.stringify({ domain: 'd', key, length: 1 }));
  writeFileSync(told, `${lines.join('\n')}\n\n${lines[0]}`);
  expect((await readManifest(told)).map(({ key }) => key)).toEqual(keys);
  writeFileSync(told, `{"domain":"d","key":"${'k'.repeat(2_000_000)}"}`);
  await expect(readManifest(told)).rejects.toMatchObject({ code: 'BAD_ARGS' });
});

test.each(['toString', 'constructor', '__proto__', 'md5'])('no checksum is a %s', (hashtype) => {
  const classes = [{ name: 'c', mindevcount: 1, replpolicy: '', hashtype }];
  const head = { omgfs: 'export', version: 1, domain: 'd', prefix: '', classes };
  expect(() => parseHead(head, 'm')).toThrow('one of its classes is none');
});
