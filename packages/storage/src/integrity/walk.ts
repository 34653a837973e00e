/** Goes over the files of a device, directory by directory, in the order of their names. */
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import type { Runner } from '../device/io/lane.ts';

export interface Directory {
  /** Relative to the device, empty for the device itself. */
  path: string;
  /** Names of its files that come after the position. */
  files: string[];
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
  run: Runner,
): AsyncGenerator<Directory> {
  yield* walkBelow({ root, path: '', run, after: position === '' ? [] : position.split('/') });
}

interface Place {
  root: string;
  path: string;
  run: Runner;
  /** The parts of the position below this directory. */
  after: readonly string[];
}

async function* walkBelow({ root, path, run, after }: Place): AsyncGenerator<Directory> {
  const entries = await run(() => readEntries(`${root}/${path}`, { withFileTypes: true })).catch(
    () => [],
  );
  const [first = '', ...rest] = after;
  const visible = entries.filter(({ name }) => !name.startsWith('.'));
  visible.sort((a, b) => (a.name < b.name ? -1 : 1));
  // Files come before directories, so a position further down has them all behind it.
  const files = visible.filter((entry) => {
    const done = rest.length > 0 || entry.name <= first;
    return entry.isFile() && !done && !(path === '' && entry.name === 'usage');
  });
  if (files.length > 0) yield { path, files: files.map(({ name }) => name) };
  for (const { name } of visible.filter((entry) => entry.isDirectory())) {
    if (rest.length > 0 && name < first) continue;
    const below = path === '' ? name : `${path}/${name}`;
    yield* walkBelow({ root, path: below, run, after: name === first ? rest : [] });
  }
}
