/**
 * Goal: a copy that was cut off or is under way gives no right to a file that others put under its
 * key meanwhile; what the migration itself left is taken up again.
 * Method: two real clusters, a slow migration, killed when its journal says that copies were begun.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { type Client, createAdmin, createClient } from '@omgfs/client';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { omgfsScript, runOmgfs } from '../helpers/command-line.ts';
import { LineFilter } from '../helpers/line-filter.ts';
import { until } from '../helpers/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-begun-'));
const journalOf = (state: string) => join(dir, state, 'd=d/journal');
const clusters: LocalCluster[] = [];
let source: Client;
let target: Client;

beforeAll(async () => {
  const options = { hosts: 1, devicesPerHost: 1, domain: 'd' };
  clusters.push(...(await Promise.all([startLocalCluster(options), startLocalCluster(options)])));
  const [one, other] = clusters.map(({ trackers }) => createClient({ trackers, domain: 'd' }));
  if (one === undefined || other === undefined) throw new Error('no clusters');
  [source, target] = [one, other];
  const admin = createAdmin({ trackers: clusters[0]?.trackers ?? [] });
  await admin.createClass({ domain: 'd', name: 'sums', mindevcount: 1, hashtype: 'MD5' });
  await admin.close();
});
afterAll(async () => {
  for (const client of [source, target]) await client?.close();
  for (const cluster of clusters) await cluster.stop();
  rmSync(dir, { recursive: true, force: true });
});

const argsOf = (...args: string[]) => {
  const [from = '', to = ''] = clusters.map(({ trackers }) => trackers[0] ?? '');
  return ['--json', 'migrate', '--from', from, '--to', to, '-d', 'd', '--state', 's', ...args];
};
const run = (...args: string[]) => runOmgfs(argsOf(...args), { cwd: dir });
/** A run that sees the target through a filter. */
function runFiltered(filter: LineFilter, ...more: string[]) {
  const args = argsOf(...more);
  args[args.indexOf('--to') + 1] = filter.address;
  return runOmgfs(args, { cwd: dir });
}

async function bytesOf(key: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of (await target.get(key)).stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** Copies that a run with this state has begun. */
function begun(state: string): number {
  const journal = journalOf(state);
  const text = existsSync(journal) ? readFileSync(journal, 'utf8') : '';
  return text.split('"begun"').length - 1;
}

test('files that others put under the keys of a killed run stay', async () => {
  const theirs = Buffer.from('theirs');
  const files = new Map<string, Buffer>();
  for (const key of ['gone', 'kept', 'half', 'old', 'done', 'stale']) {
    files.set(key, randomBytes(200_000));
    await source.put(key, files.get(key) ?? theirs, { class: 'sums', checksum: 'MD5' });
  }
  const child = spawn(process.execPath, [omgfsScript, ...argsOf('--bandwidth', '50K')], {
    cwd: dir,
  });
  await until('copies to begin', () => begun('s') >= files.size);
  child.kill('SIGKILL');
  await once(child, 'exit');
  // As earlier versions noted it.
  appendFileSync(journalOf('s'), 'old\t{"begun":1}\n');
  for (const key of ['gone', 'kept', 'old']) await target.put(key, theirs);
  // Stored by the run that was killed before it could note that; one is replaced since.
  for (const key of ['done', 'stale']) await target.put(key, files.get(key) ?? theirs);
  const { fid } = await target.info('done');
  files.set('stale', randomBytes(100));
  await source.put('stale', files.get('stale') ?? theirs);
  await source.delete('gone');

  for (const args of [[], ['--delete']]) {
    const { code, out, err } = await run(...args);
    expect(code, err).toBe(1);
    for (const key of ['kept', 'old']) {
      expect(err).toContain(`cannot copy '${key}': there is another file at the target`);
    }
    if (args.length > 0) expect(String(out)).toContain("'gone' may be of somebody else");
    for (const key of ['gone', 'kept', 'old']) expect(await bytesOf(key)).toEqual(theirs);
  }
  for (const key of ['half', 'done', 'stale']) expect(await bytesOf(key)).toEqual(files.get(key));
  expect((await target.info('done')).fid).toBe(fid);
  const { code, err } = await run('--overwrite');
  expect(code, err).toBe(0);
  expect(await bytesOf('kept')).toEqual(files.get('kept'));
});

test('a file that comes during a copy stays, then and later', async () => {
  const theirs = Buffer.from('theirs');
  const filter = await LineFilter.before(clusters[1]?.trackers[0] ?? '');
  const late = (...args: string[]) => runFiltered(filter, '--state', 'late', ...args);
  expect((await late()).code).toBe(0);
  await source.put('late', randomBytes(200_000));
  let isLate = false;
  // It looks at the target when all bytes have come.
  filter.answer = async (command) => {
    const isCopied = command === 'file_info' && begun('late') > 0;
    if (isCopied && !isLate) await target.put('late', theirs);
    isLate ||= isCopied;
    return undefined;
  };
  for (const { code, err } of [await late(), await late('--delete')]) {
    expect(code).toBe(1);
    expect(err).toContain("cannot copy 'late': there is another file at the target");
  }
  await source.delete('late');
  const { code, err } = await late('--delete');
  expect(code, err).toBe(0);
  expect(isLate).toBe(true);
  expect(await bytesOf('late')).toEqual(theirs);
  filter.stop();
});

test('a dry run says what a round would do, and does nothing', async () => {
  const state = ['--state', 'dry', '--delete'];
  const copies = async (...args: string[]) => {
    const { code, out } = await run(...state, ...args);
    expect(code).toBe(0);
    const lines = String(out)
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line));
    return lines.filter(({ round }) => round === 1).map(({ copied, deleted }) => [copied, deleted]);
  };
  await source.put('dry', Buffer.from('new'));
  await run('--overwrite', ...state);
  await Promise.all([
    source.put('dry', Buffer.from('newer')),
    source.put('also', Buffer.from('also')),
    source.delete('old'),
  ]);
  for (let times = 0; times < 2; times += 1) expect(await copies('--dry-run')).toEqual([[2, 1]]);
  expect(String(await bytesOf('dry'))).toBe('new');
  const { out } = await run(...state, '--dry-run', '-d', 'd=not-there');
  expect(String(out)).toContain('domain not-there is new');
  expect((await run('--dry-run', '--watch')).code).toBe(2);
  expect(await copies()).toEqual([[2, 1]]);
  expect(String(await bytesOf('dry'))).toBe('newer');
});

test('what comes to the target in the moment of the commit stays', async () => {
  const filter = await LineFilter.before(clusters[1]?.trackers[0] ?? '');
  const raced = () => runFiltered(filter, '--delete', '--state', 'raced');
  const between = async (command: string, key: string) => {
    let done = false;
    filter.answer = async (seen) => {
      if (seen === command && !done) {
        done = true;
        await target.put(key, Buffer.from('theirs'));
      }
      return undefined;
    };
    await raced();
    expect(done).toBe(true);
    filter.answer = () => undefined;
  };
  await source.put('raced', Buffer.from('ours'));
  await between('create_close', 'raced');
  expect(String(await bytesOf('raced'))).toBe('theirs');
  await source.put('removed', Buffer.from('ours'));
  await raced();
  await source.delete('removed');
  await between('delete', 'removed');
  expect(String(await bytesOf('removed'))).toBe('theirs');
  filter.stop();
});
