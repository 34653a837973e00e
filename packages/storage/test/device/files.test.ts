/** Goal: a move to a free name loses nothing that is stored under the old or the new name meanwhile
 *  (I1); nothing is made in the place of a disk that is gone (I6). Method: real files that come
 *  between the steps of a move, which wait for the thread of the test. */
import { existsSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeDirectories, moveToFree } from '../../src/device/files.ts';
import { createDocroot } from '../helpers.ts';

/** Begins a move and does something when the file has its new name, but the old one, too. */
async function moveAnd(between: (from: string, folder: string) => void) {
  const folder = join(await createDocroot(1), 'dev1');
  const [from, to, aside] = ['from', 'to', 'aside'].map((name) => join(folder, name));
  if (from === undefined || to === undefined) throw new Error('three names are three');
  writeFileSync(from, 'old');
  const moving = moveToFree(from, to, aside);
  const deadlineMs = performance.now() + 20_000;
  while (!existsSync(to)) if (performance.now() > deadlineMs) throw new Error('nothing was moved');
  between(from, folder);
  await moving;
  const names = readdirSync(folder).sort();
  return Object.fromEntries(names.map((name) => [name, readFileSync(join(folder, name), 'utf8')]));
}

test('the file has its new name alone', async () => {
  expect(await moveAnd(() => {})).toEqual({ to: 'old' });
});

test('what is stored under the old name meanwhile stays', async () => {
  const files = await moveAnd((from, folder) => {
    writeFileSync(join(folder, 'new'), 'new');
    renameSync(join(folder, 'new'), from);
  });
  expect(files).toEqual({ from: 'new', to: 'old' });
});

test('what is deleted meanwhile has moved before', async () => {
  expect(await moveAnd((from) => rmSync(from))).toEqual({ to: 'old' });
});

test('a name that is taken is left alone', async () => {
  const folder = join(await createDocroot(1), 'dev1');
  const [from, to] = [join(folder, 'from'), join(folder, 'to')];
  for (const path of [from, to]) writeFileSync(path, path);
  await expect(moveToFree(from, to, join(folder, 'aside'))).rejects.toMatchObject({
    code: 'EEXIST',
  });
  expect([readFileSync(from, 'utf8'), readFileSync(to, 'utf8')]).toEqual([from, to]);
});

test('directories are made below a device, but never its own', async () => {
  const docroot = await createDocroot(1);
  const make = (device: string) => {
    return makeDirectories(join(docroot, device), 'one/two', (call) => call());
  };
  await make('dev1');
  await make('dev1');
  expect(existsSync(join(docroot, 'dev1/one/two'))).toBe(true);
  await expect(make('gone')).rejects.toMatchObject({ code: 'ENOENT' });
  expect(existsSync(join(docroot, 'gone'))).toBe(false);
});
