/**
 * Goal: every example of docs/client.md runs as it stands.
 * Method: each is taken out of the page and run by node against a real cluster, in a directory with
 * the files that the page speaks of; the addresses of the page are replaced.
 */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { createClient } from '@omgfs/client';
import { afterAll, beforeAll, expect, test } from 'vitest';

const run = promisify(execFile);
const page = await readFile(new URL('../../docs/client.md', import.meta.url), 'utf8');
const examples = [...page.matchAll(/^#+ ([^\n]+)\n(?:(?!^#|^```)[^\n]*\n)*```js\n(.*?)^```/gms)];

let cluster: LocalCluster;
let dir: string;
beforeAll(async () => {
  cluster = await startLocalCluster({ hosts: 2, devicesPerHost: 1, domain: 'photos' });
  // Below the repository, so that node finds the packages.
  const build = fileURLToPath(new URL('../../.build/', import.meta.url));
  await mkdir(build, { recursive: true });
  dir = await mkdtemp(join(build, 'client-docs-'));
  await writeFile(join(dir, 'cat.jpg'), randomBytes(200_000));
  const client = createClient({ trackers: cluster.trackers, domain: 'photos' });
  await client.put('album/cat.jpg', { file: join(dir, 'cat.jpg') });
  await client.close();
});
afterAll(async () => {
  await cluster?.stop();
  await rm(dir, { recursive: true, force: true });
});

test('every block of the page is an example with a heading', () => {
  expect(examples.length).toBe(page.split('```js\n').length - 1);
  expect(examples.length).toBeGreaterThan(5);
});

test.each(examples.map(([, title, code]) => [title, code]))('%s', async (title, code = '') => {
  const file = join(dir, `${title?.replace(/\W+/g, '-')}.mjs`);
  await writeFile(file, code.replaceAll("['10.0.0.1:7001']", JSON.stringify(cluster.trackers)));
  const { stderr } = await run(process.execPath, [file], { cwd: dir, timeout: 30_000 });
  expect(stderr).toBe('');
});
