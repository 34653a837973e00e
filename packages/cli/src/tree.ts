/** Files below a directory, and a bounded number of things done at once. */
import { readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';

export interface TreeFile {
  /** Path for reading it. */
  path: string;
  /** Path below the tree, with forward slashes: the natural key. */
  name: string;
  bytes: number;
}

/** All regular files, in byte order of their names; symbolic links are not followed. */
export async function walkTree(
  root: string,
  options: { skip?: ReadonlySet<string> } = {},
): Promise<TreeFile[]> {
  const files: TreeFile[] = [];
  const visit = async (dir: string): Promise<void> => {
    for (const entry of await readdir(dir, { withFileTypes: true })) {
      if (options.skip?.has(entry.name)) continue;
      const path = join(dir, entry.name);
      if (entry.isDirectory()) await visit(path);
      else if (entry.isFile()) {
        const name = relative(root, path).split(sep).join('/');
        files.push({ path, name, bytes: (await stat(path)).size });
      }
    }
  };
  await visit(root);
  return files.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** Does `work` for every item, so many at once; the first error ends it. */
export async function inParallel<T>(
  items: readonly T[],
  options: { concurrency: number },
  work: (item: T) => Promise<void>,
): Promise<void> {
  const left = items.values();
  let failed = false;
  const worker = async () => {
    for (const item of left) {
      if (failed) return;
      try {
        await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: options.concurrency }, worker));
}
