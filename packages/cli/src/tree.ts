/** Files below a directory, and a bounded number of things done at once. */
import { isUtf8 } from 'node:buffer';
import { readdir, stat } from 'node:fs/promises';
import { join, relative, sep } from 'node:path';

export interface TreeFile {
  /** Path for reading it. */
  path: string;
  /** Path below the tree, with forward slashes: the natural key. */
  name: string;
  bytes: number;
}

export interface Tree {
  /** In order of their names. */
  files: TreeFile[];
  /** Symbolic links, which are not followed, and what is neither file nor directory. */
  others: string[];
  /** Files and directories whose names are no UTF-8 and so no text; as they can be shown. */
  unnamed: string[];
}

/**
 * What is below a directory; what vanishes meanwhile is left out. `skip` is asked with the path of
 * every file and directory.
 */
export async function walkTree(
  root: string,
  options: { skip?: (path: string) => boolean } = {},
): Promise<Tree> {
  const tree: Tree = { files: [], others: [], unnamed: [] };
  const visit = async (dir: string): Promise<void> => {
    // As text, another file might be found under the name that is shown.
    const listing = readdir(dir, { withFileTypes: true, encoding: 'buffer' });
    const entries = await listing.catch((error: unknown) => {
      if (dir === root) throw error;
      return unlessGone(error, []);
    });
    for (const entry of entries) {
      const path = join(dir, entry.name.toString());
      if (options.skip?.(path)) continue;
      if (!isUtf8(entry.name)) tree.unnamed.push(path);
      else if (entry.isDirectory()) await visit(path);
      else if (entry.isFile()) {
        const stats = await stat(path).catch((error: unknown) => unlessGone(error, undefined));
        const name = relative(root, path).split(sep).join('/');
        if (stats !== undefined) tree.files.push({ path, name, bytes: stats.size });
      } else tree.others.push(path);
    }
  };
  await visit(root);
  tree.files.sort((a, b) => (a.name < b.name ? -1 : 1));
  return tree;
}

function unlessGone<T>(error: unknown, instead: T): T {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return instead;
  throw error;
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
  const length = Math.min(options.concurrency, items.length);
  await Promise.all(Array.from({ length }, worker));
}
