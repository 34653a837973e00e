/**
 * Goal: what `npm pack` makes of the packages for applications works for whoever installs it: entry
 * points, types and files are there and nothing else is.
 * Method: publint checks the packed archive, and its list of files is read.
 */
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { publint } from 'publint';
import { formatMessage } from 'publint/utils';
import { describe, expect, test } from 'vitest';

const run = promisify(execFile);

describe.each(['client', 'protocol'])('@omgfs/%s', (name) => {
  const pkgDir = fileURLToPath(new URL(`../../packages/${name}/`, import.meta.url));

  test('publint finds nothing', async () => {
    const { messages, pkg } = await publint({ pkgDir, pack: 'npm', level: 'suggestion' });
    expect(messages.map((message) => formatMessage(message, pkg, { color: false }))).toEqual([]);
  });

  test('only what is built is packed', async () => {
    const { stdout } = await run('npm', ['pack', '--dry-run', '--json'], { cwd: pkgDir });
    const [packed] = JSON.parse(stdout) as { files: { path: string }[] }[];
    const paths = packed?.files.map(({ path }) => path) ?? [];
    expect(paths).toEqual(expect.arrayContaining(['dist/index.js', 'dist/index.d.ts']));
    const others = paths.filter((path) => !/^dist\/.+\.(js|d\.ts)(\.map)?$/.test(path));
    expect(others).toEqual(['package.json']);
  });
});
