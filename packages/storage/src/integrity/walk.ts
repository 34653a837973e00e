/** Goes over the files of a device, directory by directory, in the order of their names. */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { errnoOf } from '../device/files.ts';
import type { Runner } from '../device/io/runner.ts';

export interface Directory {
  /** Relative to the device, empty for the device itself. */
  path: string;
  /** Names of its files that come after the position. */
  files: string[];
  /** How many files it has, those before the position too. */
  count: number;
}

const readEntries = promisify(fs.readdir) as (
  path: string,
  options: { withFileTypes: true },
) => Promise<fs.Dirent[]>;

/**
 * Every directory that holds files, after a position in the same order. Names that begin with a
 * dot, links and the usage file are no files of the device. What disappears meanwhile is left out.
 */
export async function* walk(
  root: string,
  position: string,
  { run, onUnreadable }: Pick<Place, 'run' | 'onUnreadable'>,
): AsyncGenerator<Directory> {
  const after = position === '' ? [] : position.split('/');
  yield* walkBelow({ root, path: '', run, onUnreadable, after });
}

interface Place {
  root: string;
  path: string;
  run: Runner;
  /** Is told of directories that cannot be listed; the others are gone over. */
  onUnreadable: (path: string, error: unknown) => void;
  /** The parts of the position below this directory. */
  after: readonly string[];
}

async function* walkBelow(place: Place): AsyncGenerator<Directory> {
  const { root, path, run, onUnreadable, after } = place;
  const entries = await run(() => readEntries(`${root}/${path}`, { withFileTypes: true })).catch(
    (error: unknown) => {
      if (!['ENOENT', 'ENOTDIR'].includes(errnoOf(error))) onUnreadable(path, error);
      return [];
    },
  );
  const [first = '', ...rest] = after;
  const visible = entries.filter(({ name }) => !name.startsWith('.'));
  visible.sort((a, b) => (a.name < b.name ? -1 : 1));
  // Files come before directories, so a position further down has them all behind it.
  const all = visible.filter((entry) => {
    return entry.isFile() && !(path === '' && entry.name === 'usage');
  });
  const files = rest.length > 0 ? [] : all.filter(({ name }) => name > first);
  if (files.length > 0) yield { path, files: files.map(({ name }) => name), count: all.length };
  for (const { name } of visible.filter((entry) => entry.isDirectory())) {
    if (rest.length > 0 && name < first) continue;
    const below = path === '' ? name : `${path}/${name}`;
    yield* walkBelow({ ...place, path: below, after: name === first ? rest : [] });
  }
}
