/**
 * Goal: the house style and the dependency arrows of ARCHITECTURE.md hold, as a test.
 * Method: reads every tracked source file as text; each rule lists the lines that break it.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { basename, dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

interface SourceFile {
  path: string;
  lines: string[];
}

const files: SourceFile[] = execFileSync(
  'git',
  ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts', '*.mjs'],
  { cwd: root, encoding: 'utf8' },
)
  .split('\n')
  .filter((path) => path !== '')
  .flatMap((path) => {
    try {
      return [{ path, lines: readFileSync(join(root, path), 'utf8').split('\n') }];
    } catch {
      // Listed by git and deleted in the working tree.
      return [];
    }
  });

const isTest = (path: string) => /(^|\/)test\//.test(path);
const sources = files.filter(({ path }) => !isTest(path));

/** Lines that match, as `path:line`. */
function offenders(among: SourceFile[], breaks: (line: string) => boolean): string[] {
  return among.flatMap(({ path, lines }) =>
    lines.flatMap((line, index) => (breaks(line) ? [`${path}:${index + 1}`] : [])),
  );
}

describe('size', () => {
  test('no line is longer than 100 columns', () => {
    expect(offenders(files, (line) => line.length > 100)).toEqual([]);
  });

  test('no file is longer than 400 lines', () => {
    const allowed = new Set<string>([]);
    const long = files.filter(({ path, lines }) => lines.length > 401 && !allowed.has(path));
    expect(long.map(({ path, lines }) => `${path} (${lines.length})`)).toEqual([]);
  });

  test('no function is longer than 70 lines', () => {
    expect(sources.flatMap(longFunctions)).toEqual([]);
  });

  test('no source folder holds more than 15 files', () => {
    // One module a command or family of commands is what makes them easy to find.
    const allowed = new Set(['packages/tracker/src/commands']);
    const counts = new Map<string, number>();
    for (const { path } of sources) {
      counts.set(dirname(path), (counts.get(dirname(path)) ?? 0) + 1);
    }
    expect([...counts].filter(([dir, count]) => count > 15 && !allowed.has(dir))).toEqual([]);
  });
});

/** Functions and methods as the formatter lays them out: opened and closed at one indentation. */
function longFunctions({ path, lines }: SourceFile): string[] {
  const found: string[] = [];
  const opening =
    /^( *)(?:export )?(?:default )?(?:static |async )*(?:function\b|#?\w+[(<].*\{$|const \w+ = \()/;
  for (const [index, line] of lines.entries()) {
    const indent = opening.exec(line)?.[1];
    if (indent === undefined || /^\s*(?:if|for|while|switch|catch|return|else)\b/.test(line)) {
      continue;
    }
    const end = lines.findIndex((other, at) => at > index && other.startsWith(`${indent}}`));
    if (end > 0 && end - index > 70) found.push(`${path}:${index + 1} (${end - index})`);
  }
  return found;
}

describe('words', () => {
  const inBin = (path: string) => /(^|\/)bin\/|^scripts\//.test(path);

  test('no any, no double cast, no non-null assertion outside tests', () => {
    const pattern = /\bas any\b|: any\b|<any>|as unknown as|\w!\.|\w!;|\]!|\)!/;
    expect(offenders(sources, (line) => pattern.test(codeOf(line)))).toEqual([]);
  });

  test('console and process.exit only in bin', () => {
    const pattern = /\bconsole\.|process\.exit\(/;
    const outside = sources.filter(({ path }) => !inBin(path));
    expect(offenders(outside, (line) => pattern.test(codeOf(line)))).toEqual([]);
  });

  test('the environment is read only in config.ts', () => {
    const outside = sources.filter(({ path }) => {
      return basename(path) !== 'config.ts' && !path.startsWith('scripts/');
    });
    expect(offenders(outside, (line) => /process\.env/.test(codeOf(line)))).toEqual([]);
  });

  test('SQL only in the store', () => {
    const pattern =
      /\b(?:SELECT\s.+\sFROM|INSERT\s+(?:IGNORE\s+)?INTO|DELETE\s+FROM|UPDATE\s+\w+\s+SET)\b/;
    const outside = sources.filter(({ path }) => {
      return !path.startsWith('packages/tracker/src/store/') && !path.startsWith('bench/');
    });
    expect(offenders(outside, (line) => pattern.test(codeOf(line)))).toEqual([]);
  });

  test('no signal is made that Node 20 keeps as long as those it was made of', () => {
    expect(offenders(sources, (line) => /AbortSignal\.any\(/.test(codeOf(line)))).toEqual([]);
  });

  test('nothing is marked as unfinished', () => {
    const marks = new RegExp(
      `\\b(?:${['TO', 'FIX'].map((w, i) => w + ['DO', 'ME'][i]).join('|')})\\b`,
    );
    expect(offenders(files, (line) => marks.test(line))).toEqual([]);
  });

  test('no test is skipped, focused or left empty', () => {
    const pattern = /\b(?:it|test|describe)\.(?:skip|only|todo|fails|skipIf|runIf)\b/;
    const tests = files.filter(({ path }) => isTest(path) && path !== 'test/tidy.test.ts');
    expect(offenders(tests, (line) => pattern.test(line))).toEqual([]);
  });
});

/** The line without a comment, so that prose may name what code must not use. */
function codeOf(line: string): string {
  return /^\s*(?:\/\/|\/?\*)/.test(line) ? '' : line;
}

describe('structure', () => {
  test('file names are kebab-case', () => {
    const odd = files.filter(({ path }) => {
      return !/^[a-z0-9]+(-[a-z0-9]+)*(\.[a-z0-9-]+)*\.(ts|mjs)$/.test(basename(path));
    });
    expect(odd.map(({ path }) => path)).toEqual([]);
  });

  test('every source module opens with a comment or only re-exports', () => {
    const bare = sources.filter(({ path, lines }) => {
      const first = lines[0]?.startsWith('#!') ? lines[1] : lines[0];
      const reExports = lines.every(
        (line) => line === '' || /^(export|\s+type |\}| {2}\w)/.test(line),
      );
      return !path.endsWith('.d.ts') && !reExports && !/^\/[*/]/.test(first ?? '');
    });
    expect(bare.map(({ path }) => path)).toEqual([]);
  });

  test('imports follow the arrows between packages', () => {
    const allowed: Record<string, string[]> = {
      protocol: [],
      client: ['protocol'],
      webdav: [],
      daemon: [],
      storage: ['protocol', 'webdav', 'daemon'],
      tracker: ['protocol', 'webdav', 'daemon'],
      cli: ['protocol', 'client', 'storage', 'tracker'],
    };
    const broken = sources.flatMap(({ path, lines }) => {
      const owner = /^packages\/([a-z]+)\//.exec(path)?.[1];
      if (owner === undefined) return [];
      return importsOf(lines).flatMap((name) => {
        const target = /^@omgfs\/([a-z]+)/.exec(name)?.[1];
        const wrong = target !== undefined && !allowed[owner]?.includes(target);
        return wrong ? [`${path} imports ${name}`] : [];
      });
    });
    expect(broken).toEqual([]);
  });

  test('imports follow the arrows inside the tracker', () => {
    const allowed: Record<string, string[]> = {
      placement: ['placement'],
      store: ['store', 'placement', 'batcher.ts', 'log.ts'],
      topology: ['topology', 'placement', 'store'],
      devices: ['devices', 'batcher.ts', 'log.ts'],
      commands: ['commands', 'store', 'placement', 'devices', 'topology', 'log.ts'],
      jobs: ['jobs', 'store', 'placement', 'devices', 'topology', 'log.ts'],
      figures: ['figures'],
      server: ['server', 'figures', 'commands', 'log.ts'],
      files: ['files', 'commands', 'log.ts'],
      dav: ['dav', 'files'],
      http: ['http', 'dav', 'figures', 'files', 'commands', 'log.ts'],
      setup: ['setup', 'store', 'placement', 'log.ts'],
    };
    const base = 'packages/tracker/src/';
    const broken = sources.flatMap(({ path, lines }) => {
      if (!path.startsWith(base)) return [];
      const owner = path.slice(base.length).split('/')[0] ?? '';
      const targets = allowed[owner];
      if (targets === undefined) return [];
      return importsOf(lines)
        .filter((name) => name.startsWith('.'))
        .map((name) => normalize(join(dirname(path), name)).slice(base.length))
        .filter((target) => !targets.includes(target.split('/')[0] ?? ''))
        .map((target) => `${path} imports ${target}`);
    });
    expect(broken).toEqual([]);
  });

  test('every command is there before the build, or npm cannot link it', () => {
    const commands = ['packages/cli', 'packages/storage', 'packages/tracker'].flatMap((dir) => {
      const { bin } = JSON.parse(readFileSync(join(root, dir, 'package.json'), 'utf8')) as {
        bin: Record<string, string>;
      };
      return Object.values(bin).map((path) => join(root, dir, path));
    });
    const broken = commands.filter((path) => /dist/.test(path) || !(statSync(path).mode & 0o111));
    expect({ commands: commands.length, broken }).toEqual({ commands: 4, broken: [] });
  });

  test('the lockfile has every platform, or npm ci refuses it', () => {
    const text = readFileSync(join(root, 'package-lock.json'), 'utf8');
    const { packages } = JSON.parse(text) as {
      packages: Record<string, { optionalDependencies?: Record<string, string> }>;
    };
    const missing = Object.values(packages).flatMap(({ optionalDependencies = {} }) =>
      Object.keys(optionalDependencies).filter((name) => !(`node_modules/${name}` in packages)),
    );
    expect(missing).toEqual([]);
  });

  test('every module is used by another', () => {
    const imported = new Set(
      files.flatMap(({ path, lines }) =>
        importsOf(lines)
          .filter((name) => name.startsWith('.'))
          .map((name) => normalize(join(dirname(path), name))),
      ),
    );
    const unused = sources.filter(({ path }) => {
      const entry = /\/bin\/|\/index\.ts$|^scripts\/|^vitest\.config|^examples\/|worker\.ts$/;
      return !entry.test(path) && !imported.has(path);
    });
    expect(unused.map(({ path }) => path)).toEqual([]);
  });
});

function importsOf(lines: string[]): string[] {
  return lines.flatMap((line) => {
    const match = /(?:^import|^\} from|\bfrom|\bimport\()\s*\(?'([^']+)'/.exec(codeOf(line));
    return match?.[1] === undefined ? [] : [match[1]];
  });
}
