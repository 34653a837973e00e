/**
 * The configuration file of the original: `name = value` or `name value`, one a line, a blank after
 * the name, comments on lines of their own (spec appendix C). Names that nobody knows are kept by
 * the original for plugins; here they have no effect, so that is said.
 */
import { readFileSync } from 'node:fs';
import { type OptionName, optionTable } from './options.ts';

export interface ConfigFile {
  values: Map<OptionName, string>;
  /** Never with a value, which may be a password. */
  warnings: string[];
}

/** Names at this distance are not meant. */
const typingErrorsMax = 3;

/**
 * @throws Error when the file cannot be read or holds a line that is nothing of the above, as with
 * the original. A file that is not required may be missing.
 */
export function readConfigFile(path: string, { required }: { required: boolean }): ConfigFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    if (missing && !required) return { values: new Map(), warnings: [] };
    throw new Error(`cannot read the configuration file ${path}: ${String(error)}`);
  }
  const values = new Map<OptionName, string>();
  const warnings: string[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (/^\s*(?:#|$)/.test(line)) continue;
    const [, name = '', value = ''] = /^\s*([\w.]+)\s+(?:=\s*)?(.*?)\s*$/.exec(line) ?? [];
    if (name === '') {
      const rule = "expected 'name = value' with a blank after the name";
      throw new Error(`${path}, line ${index + 1}: ${rule}`);
    }
    const option = optionOf(name);
    if (option !== undefined) values.set(option, value);
    else warnings.push(`'${name}' in ${path} has no effect: ${adviceOn(name)}`);
  }
  return { values, warnings };
}

function optionOf(name: string): OptionName | undefined {
  const option = optionTable.find((candidate) => {
    return candidate.name === name || candidate.fileNames?.includes(name);
  });
  return option?.flagOnly === true ? undefined : option?.name;
}

function adviceOn(name: string): string {
  const known = optionTable.filter(({ flagOnly }) => flagOnly !== true);
  // `dsn` is short for `db_dsn` on the command line only.
  const meant = known.find(({ flags }) => flags.includes(name));
  if (meant !== undefined) return `in the file it is ${meant.name}`;
  const near = known
    .map((option) => ({ name: option.name, distance: distanceOf(name, option.name) }))
    .sort((a, b) => a.distance - b.distance)[0];
  const word = near !== undefined && near.distance <= typingErrorsMax ? near.name : undefined;
  return word === undefined ? 'no option has that name' : `did you mean ${word}?`;
}

/** Letters to insert, remove or change. */
function distanceOf(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (const [i, letter] of [...a].entries()) {
    const next = [i + 1];
    for (const [j, other] of [...b].entries()) {
      const change = (row[j] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(change, (row[j + 1] ?? 0) + 1, (next[j] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
