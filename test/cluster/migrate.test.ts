/**
 * Goal: a cluster goes to another one while it is written to: every version that stays arrives, in
 * its class; what somebody else wrote at the target stays; a killed run goes on; the verifier sees
 * every difference.
 * Method: two real clusters, the source behind a filter that refuses what MogileFS does not have.
 */
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { type Client, createAdmin, createClient } from '@omgfs/client';
import { encodeOk } from '@omgfs/protocol';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { omgfsScript, runOmgfs } from '../helpers/command-line.ts';
import { LineFilter } from '../helpers/line-filter.ts';
import { until } from '../helpers/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-migrate-'));
const clusters: LocalCluster[] = [];
const clients = new Map<string, Client>();
let filter: LineFilter;

const original = ['get_domains', 'list_keys', 'get_paths', 'file_info'];
const unknown = 'ERR unknown_command Unknown+server+command';
const oddKeys = ['a', 'a/b', '../x', 'n\0l', 'l\ne', 'ü', '\u2028'].map((key) => Buffer.from(key));
oddKeys.push(Buffer.from([0xff, 0x80]));

beforeAll(async () => {
  const options = { hosts: 1, devicesPerHost: 1, domain: 'odd' };
  const [source, target] = await Promise.all([
    startLocalCluster(options),
    startLocalCluster({ ...options, domain: 'other' }),
  ]);
  clusters.push(source, target);
  filter = await LineFilter.before(source.trackers[0] ?? '');
  filter.answer = (command) => (original.includes(command) ? undefined : unknown);
  const admin = createAdmin({ trackers: source.trackers });
  for (const name of ['many', 'busy']) await admin.createDomain(name);
  for (const name of ['sums', 'more']) {
    await admin.createClass({ domain: 'odd', name, mindevcount: 1, hashtype: 'MD5' });
  }
  await admin.close();
  const odd = clientOf('source', 'odd');
  for (const [at, key] of oddKeys.entries()) {
    await odd.put(key, key, at % 2 ? { class: 'sums', checksum: 'MD5' } : {});
  }
  const many = clientOf('source', 'many');
  for (let at = 0; at < 40; at += 1) await many.put(`f/${at}`, randomBytes(20_000));
});
afterAll(async () => {
  filter?.stop();
  for (const client of clients.values()) await client.close();
  for (const cluster of clusters) await cluster.stop();
  rmSync(dir, { recursive: true, force: true });
});

function clientOf(side: 'source' | 'target', domain: string): Client {
  const { trackers = [] } = clusters[side === 'source' ? 0 : 1] ?? {};
  const name = `${side} ${domain}`;
  const client = clients.get(name) ?? createClient({ trackers, domain });
  clients.set(name, client);
  return client;
}

const argsOf = (args: string[]) => {
  const to = clusters[1]?.trackers[0] ?? '';
  return ['--json', 'migrate', '--from', filter.address, '--to', to, ...args];
};
const run = (...args: string[]) => runOmgfs(argsOf(args), { cwd: dir });

const linesOf = (out: Buffer): Record<string, unknown>[] =>
  String(out)
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line));

/** Output of a command that must succeed. */
async function lines(...args: string[]): Promise<Record<string, unknown>[]> {
  const { code, out, err } = await run(...args);
  expect({ args, code, err }).toEqual({ args, code: 0, err: '' });
  return linesOf(out);
}

/** The first round. */
async function round(...args: string[]): Promise<Record<string, unknown> | undefined> {
  return (await lines(...args)).find((line) => line.round === 1);
}

async function contentOf(client: Client, { classes = true } = {}): Promise<Map<string, string>> {
  const content = new Map<string, string>();
  for await (const key of client.listBytes()) {
    const { class: name } = await client.info(key);
    const chunks: Buffer[] = [];
    for await (const chunk of (await client.get(key)).stream) chunks.push(chunk);
    content.set(
      key.toString('hex'),
      `${classes ? name : ''} ${Buffer.concat(chunks).toString('hex')}`,
    );
  }
  return content;
}

test('keys of any bytes arrive in their classes, by commands of the original', async () => {
  const [source, target] = [clientOf('source', 'odd'), clientOf('target', 'odd')];
  expect(await round('-d', 'odd')).toMatchObject({ copied: oddKeys.length, failed: 0 });
  expect([...filter.seen].filter((command) => !original.includes(command))).toEqual([]);
  expect(await contentOf(target)).toEqual(await contentOf(source));
  const admins = clusters.map(({ trackers }) => createAdmin({ trackers }));
  const classes = admins.map(async (admin) => {
    return (await admin.domains()).find(({ name }) => name === 'odd')?.classes;
  });
  const [theirs, ours] = await Promise.all(classes);
  for (const admin of admins) await admin.close();
  expect(ours).toEqual(theirs);
  const [, verified] = [await round('-d', 'odd'), await lines('verify', '-d', 'odd', '--bytes')];
  expect(verified).toEqual([{ files: oddKeys.length, differences: 0 }]);
});

test('what changes at the source follows, what others changed at the target stays', async () => {
  const [source, target] = [clientOf('source', 'odd'), clientOf('target', 'odd')];
  // Another file of the same length in a class without checksums.
  await source.put('a', Buffer.from('A'));
  await source.put('new', Buffer.from('new'));
  await source.rename('a/b', 'renamed');
  await source.delete('ü');
  const change = { domain: 'odd', key: 'l\ne', class: 'more' };
  await source.trackers.request('updateclass', change);
  await target.put('../x', Buffer.from('theirs'));
  await source.put('../x', Buffer.from('ours'));
  await target.put('own', Buffer.from('own'));

  const differ = await run('verify', '-d', 'odd', '--bytes');
  expect(differ.code).toBe(1);
  const kinds = linesOf(differ.out).map(({ kind, key }) => `${kind} ${key}`);
  expect(kinds.slice(0, -1).sort()).toEqual(
    [
      'bytes a',
      'extra a/b',
      'extra own',
      'extra ü',
      'length ../x',
      'missing new',
      'missing renamed',
    ]
      .concat('class l\ne')
      .sort(),
  );

  const { code, out, err } = await run('-d', 'odd', '--delete');
  expect(code).toBe(1);
  expect(err).toContain("cannot copy '../x': there is another file at the target");
  expect(linesOf(out).find((line) => line.round === 1)).toMatchObject({
    ...{ copied: 3, deleted: 2, failed: 1 },
  });
  expect(String((await contentOf(target)).get(Buffer.from('../x').toString('hex')))).toContain(
    Buffer.from('theirs').toString('hex'),
  );
  await target.delete('own');
  expect(await round('-d', 'odd', '--overwrite')).toMatchObject({ copied: 1 });
  expect(await contentOf(target)).toEqual(await contentOf(source));
});

test('a source that says it has nothing removes nothing', async () => {
  const target = clientOf('target', 'odd');
  const before = await contentOf(target);
  const usual = filter.answer;
  filter.answer = (command) => {
    if (command === 'list_keys') return 'ERR none_match No+keys+match';
    return command === 'file_info' ? 'ERR unknown_key unknown_key' : usual(command);
  };
  const { code, err } = await run('-d', 'odd', '--delete');
  filter.answer = usual;
  expect({ code, err }).toEqual({
    code: 1,
    err: expect.stringContaining('the source lists no keys in odd, where there were some'),
  });
  expect(await contentOf(target)).toEqual(before);
});

test('a source without file_info will do, in whatever order it lists keys', async () => {
  const keys: string[] = [];
  for await (const key of clientOf('source', 'odd').listBytes()) keys.push(key.toString('latin1'));
  const fields = keys.reverse().map((key, at) => [`key_${at + 1}`, key]);
  const list = encodeOk({ key_count: keys.length, ...Object.fromEntries(fields) }).trimEnd();
  filter.answer = (command) => {
    if (command === 'list_keys') return list;
    return command !== 'file_info' && original.includes(command) ? undefined : unknown;
  };
  const copied = oddKeys.length;
  expect(await round('-d', 'odd=plain')).toMatchObject({ copied });
  expect(await round('-d', 'odd=plain')).toMatchObject({ copied: 0, unchanged: copied });
  const [summary] = await lines('verify', '-d', 'odd=plain', '--bytes');
  expect(summary).toEqual({ files: copied, differences: 0 });
  filter.answer = (command) => (original.includes(command) ? undefined : unknown);
  const options = { classes: false };
  const content = await contentOf(clientOf('target', 'plain'), options);
  expect(content).toEqual(await contentOf(clientOf('source', 'odd'), options));
});

test('a run that was killed goes on, and copies no file twice', async () => {
  const target = clientOf('target', 'many');
  const count = async () => {
    let keys = 0;
    for await (const _ of target.list()) keys += 1;
    return keys;
  };
  const args = argsOf(['-d', 'many', '--bandwidth', '50K']);
  const child = spawn(process.execPath, [omgfsScript, ...args], { cwd: dir });
  await until('some files to arrive', async () => (await count().catch(() => 0)) > 3);
  child.kill('SIGKILL');
  await once(child, 'exit');
  const there = await count();
  expect(there).toBeLessThan(40);
  const first = [];
  for await (const key of target.list()) first.push(await target.info(key));
  const { copied, unchanged } = (await round('-d', 'many')) ?? {};
  // What was under way may have been committed after the kill.
  expect(Number(unchanged)).toBeGreaterThanOrEqual(there);
  expect(Number(copied) + Number(unchanged)).toBe(40);
  for (const { key, fid } of first) expect((await target.info(key)).fid).toBe(fid);
  expect(await contentOf(target)).toEqual(await contentOf(clientOf('source', 'many')));
});

test('a source that is written to is followed until Ctrl-C', async () => {
  const [source, target] = [clientOf('source', 'busy'), clientOf('target', 'busy')];
  let writing = true;
  let writes = 0;
  const write = async () => {
    for (; writing; writes += 1) {
      const key = `k${writes % 17}`;
      // One in five is deleted; the others get bytes of one length.
      if (writes % 5 === 4) await source.delete(key);
      else await source.put(key, Buffer.from(String(writes).padStart(8)));
    }
  };
  const work = write();
  const args = argsOf(['-d', 'busy', '--watch', '--delete', '--interval', '1']);
  const child = spawn(process.execPath, [omgfsScript, ...args], { cwd: dir });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += String(chunk);
  });
  try {
    await until('a second round', () => said.includes('"round":2'));
    const before = writes;
    await until('further writes', () => writes > before + 40);
  } finally {
    writing = false;
    await work;
  }
  const wanted = await contentOf(source);
  await until('the target to be the same', async () => {
    const found = await contentOf(target);
    return JSON.stringify([...found]) === JSON.stringify([...wanted]);
  });
  child.kill('SIGINT');
  const [code] = await once(child, 'exit');
  expect(code).toBe(0);
  expect(await lines('verify', '-d', 'busy', '--bytes')).toEqual([
    { files: wanted.size, differences: 0 },
  ]);
});

test('what cannot be meant is refused', async () => {
  const nowhere = await run('-d', 'nowhere');
  expect(nowhere.err).toContain("there is no domain 'nowhere' at the source");
  const self = ['migrate', '--from', filter.address, '--to', filter.address, '-d', 'odd'];
  const same = await runOmgfs(self, { cwd: dir });
  expect({ code: same.code, err: same.err }).toEqual({
    code: 2,
    err: expect.stringContaining('is source and target; name it otherwise'),
  });
  // Fids of one cluster say nothing of another one's.
  mkdirSync(join(dir, 'foreign'));
  writeFileSync(join(dir, 'foreign/clusters.json'), '{"from":["10.0.0.1:7001"],"to":["x:1"]}');
  const foreign = await run('-d', 'odd', '--state', 'foreign');
  expect({ code: foreign.code, err: foreign.err }).toEqual({
    code: 2,
    err: expect.stringContaining('foreign is of a migration --from 10.0.0.1:7001'),
  });
});
