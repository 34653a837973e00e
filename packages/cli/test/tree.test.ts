import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { inParallel, walkTree } from '../src/tree.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-tree-'));
afterAll(() => rmSync(dir, { recursive: true }));

describe('walkTree', () => {
  test('finds regular files in order, skips what it is told, follows no links', async () => {
    mkdirSync(join(dir, 'b/deep'), { recursive: true });
    mkdirSync(join(dir, 'skipped'));
    writeFileSync(join(dir, 'b/deep/2.txt'), '22');
    writeFileSync(join(dir, 'a.txt'), '1');
    writeFileSync(join(dir, 'skipped/x'), '');
    symlinkSync('/', join(dir, 'link'));
    writeFileSync(Buffer.from(`${dir}/b/\xff`, 'latin1'), '');
    const { files, others, unnamed } = await walkTree(dir, {
      skip: (path) => basename(path) === 'skipped',
    });
    expect(files.map(({ name, bytes }) => [name, bytes])).toEqual([
      ['a.txt', 1],
      ['b/deep/2.txt', 2],
    ]);
    expect(others).toEqual([join(dir, 'link')]);
    expect(unnamed).toEqual([join(dir, 'b/\ufffd')]);
  });

  test('a directory that is not there is an error', async () => {
    await expect(walkTree(join(dir, 'missing'))).rejects.toThrow(/ENOENT/);
  });
});

describe('inParallel', () => {
  test('does everything, never more at once than asked for', async () => {
    let running = 0;
    let most = 0;
    const done: number[] = [];
    await inParallel(
      Array.from({ length: 50 }, (_, i) => i),
      { concurrency: 4 },
      async (item) => {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setImmediate(resolve));
        running -= 1;
        done.push(item);
      },
    );
    expect(done.length).toBe(50);
    expect(most).toBe(4);
  });

  test('the first error ends it', async () => {
    const done: number[] = [];
    const work = inParallel([1, 2, 3, 4, 5, 6], { concurrency: 1 }, async (item) => {
      if (item === 3) throw new Error('third');
      done.push(item);
    });
    await expect(work).rejects.toThrow('third');
    expect(done).toEqual([1, 2]);
  });
});
