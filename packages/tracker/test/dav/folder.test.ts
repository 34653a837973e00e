/**
 * Goal: every key has one path in the share and every path one key, and a folder shows each name
 * once. Method: keys of all odd kinds, from pages of every size.
 */
import { describe, expect, test } from 'vitest';
import { listFolder } from '../../src/dav/folder.ts';
import { isNameable, nameOf, placeOf } from '../../src/dav/names.ts';
import type { Page } from '../../src/files/file-store.ts';

const odd = ['', '.', '..', '(empty)', '((dot))', '(dotdot', '((file)', '(file)', 'a', '\xff%'];

test('every key has a path that leads back to it', () => {
  const keys = odd.flatMap((one) => [one, ...odd.map((two) => `${one}/${two}`), `a/${one}/b`]);
  const paths = keys.map((key) => `/dav/d/${key.split('/').map(nameOf).join('/')}`);
  expect(new Set(paths).size).toBe(new Set(keys).size);
  for (const [at, path] of paths.entries()) {
    expect(placeOf(path), path).toMatchObject({ domain: 'd', key: keys[at] });
    for (const name of path.split('/').slice(1)) expect(isNameable(name), path).toBe(true);
  }
});

test('a path leads to a key and a folder, or nowhere', () => {
  expect(placeOf('/dav/d')).toMatchObject({ key: '', prefix: '' });
  expect(placeOf('/dav/d/a/b')).toMatchObject({ key: 'a/b', prefix: 'a/b/' });
  expect(placeOf('/dav/d/(empty)')).toMatchObject({ key: '', prefix: '/' });
  expect(placeOf('/dav/d/a/(file)')).toMatchObject({ key: 'a', prefix: undefined });
  expect(placeOf('/dav')).toEqual({ kind: 'above', path: '/dav' });
  for (const path of ['/other', '/dav/d/(file)', '/dav/d/a/(file)/b']) {
    expect(placeOf(path), path).toBeUndefined();
  }
});

/** As the command `list_files` answers, from a list of keys. */
function listOf(keys: readonly string[], limit: number) {
  const sorted = [...keys].sort();
  return async (domain: string, request: { prefix?: string; after?: string } = {}) => {
    const { prefix = '', after = '' } = request;
    const page: Page = { files: [], folders: [], after: undefined };
    for (const key of sorted) {
      if (!key.startsWith(prefix) || key <= after) continue;
      const end = key.indexOf('/', prefix.length);
      const folder = end < 0 ? undefined : key.slice(0, end + 1);
      if (folder !== undefined && (page.folders.includes(folder) || after.startsWith(folder))) {
        page.after &&= key;
        continue;
      }
      if (page.files.length + page.folders.length === limit) return page;
      page.after = key;
      if (folder !== undefined) page.folders.push(folder);
      else page.files.push(fileOf(domain, key));
    }
    return { ...page, after: undefined };
  };
}

function fileOf(domain: string, key: string): Page['files'][number] {
  const length = key.endsWith('/') ? 0 : 7;
  const etag = `"1-${length}"`;
  return {
    ...{ domain, key, length, etag, fid: 1, class: 'default', devcount: 1 },
    ...{ checksum: undefined, storedAt: undefined },
  };
}

describe.each([1, 2, 3, 1000])('pages of %i', (limit) => {
  const listed = async (keys: readonly string[], prefix = '') => {
    const found: string[] = [];
    const list = listOf(keys, limit);
    for await (const { name, facts } of listFolder({ list }, { domain: 'd', prefix })) {
      found.push(facts?.kind === 'collection' ? `${name}/` : name);
    }
    return found.sort();
  };

  test('a file and a folder of one name are shown once, as the folder', async () => {
    const keys = ['a', 'a-b', 'a-b-c', 'a-b/x', 'a.b', 'a/x', 'a/y', 'a0', 'b', 'b!', 'c/x'];
    expect(await listed(keys)).toEqual(['a-b-c', 'a-b/', 'a.b', 'a/', 'a0', 'b', 'b!', 'c/']);
    expect(await listed(keys, 'a/')).toEqual(['x', 'y']);
  });

  test('odd keys have names, a marker has none', async () => {
    const keys = ['/x', 'a/', 'a/b/', 'a//c', 'a/./d', 'a/..', 'a/(dot)', 'a/nul\0'];
    expect(await listed(keys)).toEqual(['(empty)/', 'a/']);
    expect(await listed(keys, 'a/')).toEqual(['((dot))', '(dot)/', '(dotdot)', '(empty)/', 'b/']);
    expect(await listed(keys, 'a/b/')).toEqual([]);
  });
});
