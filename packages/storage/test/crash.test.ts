/** Goal: I1 and I3 over the death of the process. Method: the built mogstored is killed with
 *  SIGKILL in the middle of many uploads and started again on the same docroot. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fidPath } from '@omgfs/protocol';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { ask, createDocroot, filesOf, launch, put, Wire } from './helpers.ts';

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<number | null> {
  const gone = once(child, 'exit');
  child.kill(signal);
  await gone;
  return child.exitCode;
}

/** A body that says itself whether it is whole. */
const bodyOf = (fid: number) => Buffer.alloc(fid % 3 === 0 ? 700_000 : 5000, `body of ${fid};`);

test('I1, I3: SIGKILL in the middle of uploads loses nothing that was acknowledged', async () => {
  const docroot = await createDocroot(1, 2);
  const acknowledged = new Set<number>();
  let next = 1;
  for (let round = 0; round < 3; round += 1) {
    const { child, url } = await launch(docroot);
    const target = acknowledged.size + 60;
    let alive = true;
    const uploader = async () => {
      while (alive) {
        const fid = next++;
        const path = fidPath(1 + (fid % 2), fid);
        const answer = await put(url + path, bodyOf(fid)).catch(() => undefined);
        if (answer?.status === 200) acknowledged.add(fid);
      }
    };
    const uploaders = Promise.all(Array.from({ length: 12 }, uploader));
    await until('some uploads are acknowledged', () => acknowledged.size >= target);
    await end(child, 'SIGKILL');
    alive = false;
    await uploaders;
  }
  const { url, child } = await launch(docroot);
  for (const fid of acknowledged) {
    const { status, body } = await ask(url + fidPath(1 + (fid % 2), fid));
    expect([fid, status, body.equals(bodyOf(fid))]).toEqual([fid, 200, true]);
  }
  // Whatever else is there, acknowledged or not, is whole; temporary files are gone.
  for (const devid of [1, 2]) {
    for (const name of await filesOf(docroot, devid)) {
      expect(name).toMatch(/\.fid$/);
      const fid = Number(/(\d+)\.fid$/.exec(name)?.[1]);
      const bytes = await readFile(join(docroot, `dev${devid}`, name));
      expect([name, bytes.equals(bodyOf(fid))]).toEqual([name, true]);
    }
  }
  expect(await end(child, 'SIGTERM')).toBe(0);
});

test('I3: what a killed process left behind is removed at the next start', async () => {
  const docroot = await createDocroot(1);
  const first = await launch(docroot);
  const wire = new Wire(first.port);
  wire.send(`PUT /dev1/f HTTP/1.1\r\nContent-Length: 1000000\r\n\r\n${'x'.repeat(300_000)}`);
  await until('a temporary file', async () => {
    return (await filesOf(docroot, 1)).some((name) => name.startsWith('.tmp/'));
  });
  await end(first.child, 'SIGKILL');
  expect(await filesOf(docroot, 1)).toHaveLength(1);
  const second = await launch(docroot);
  await until('nothing is left', async () => (await filesOf(docroot, 1)).length === 0);
  expect(second.output()).toContain('"leftovers.removed"');
});

test('I6: a process that cannot listen leaves the uploads of another alone', async () => {
  const docroot = await createDocroot(1);
  const first = await launch(docroot);
  const wire = new Wire(first.port);
  wire.send('PUT /dev1/f HTTP/1.1\r\nContent-Length: 300000\r\n\r\nabc');
  await until('a temporary file', async () => (await filesOf(docroot, 1)).length === 1);
  await expect(launch(docroot, '--httplisten', `127.0.0.1:${first.port}`)).rejects.toThrow(
    /EADDRINUSE/,
  );
  wire.send(Buffer.alloc(299_997));
  await until('the upload is done', () => wire.status === 200);
});

/** Kills itself when `DeviceFiles` is about to do something for the n-th time. */
const killedAt = (method: string, nth: number) => `
  import { createStorageNode } from '${built('index.js')}';
  import { DeviceFiles } from '${built('dav/device-files.js')}';
  const real = DeviceFiles.prototype.${method};
  let calls = 0;
  DeviceFiles.prototype.${method} = function (...args) {
    calls += 1;
    if (calls === ${nth}) process.kill(process.pid, 'SIGKILL');
    return real.apply(this, args);
  };
  const options = { httpHost: '127.0.0.1', httpPort: 0, freeReserveMb: 0, dav: 'full' };
  const node = await createStorageNode({ docroot: process.argv[1], ...options, logLevel: 'error' });
  await node.listen();
  console.log(node.httpPort);`;

const built = (name: string) => new URL(`../dist/${name}`, import.meta.url).href;

test.each([
  // In the gap, and before all of the old is removed.
  ['MOVE', 'move', 2, 'old'],
  ['MOVE', 'remove', 2, 'new'],
  // With half a copy, and in the gap.
  ['COPY', 'copyFile', 2, 'old'],
  ['COPY', 'move', 2, 'old'],
] as const)('I3: a %s that is killed at %s %i leaves the %s', async (method, call, nth, left) => {
  const docroot = await createDocroot(1);
  const args = ['--input-type=module', '-e', killedAt(call, nth), docroot];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  const dead = once(child, 'exit');
  onTestFinished(() => void child.kill('SIGKILL'));
  const port = String((await once(child.stdout, 'data'))[0]).trim();
  const dev = `http://127.0.0.1:${port}/dev1`;
  for (const name of ['old', 'new']) {
    expect((await ask(`${dev}/${name}`, { method: 'MKCOL' })).status).toBe(201);
    for (const file of ['a', 'b']) {
      expect((await put(`${dev}/${name}/${file}`, `${name} ${file}`)).status).toBe(200);
    }
  }
  const headers = { destination: '/dev1/old' };
  await expect(ask(`${dev}/new`, { method, headers })).rejects.toThrow();
  await dead;
  expect(child.signalCode).toBe('SIGKILL');
  const { url } = await launch(docroot, '--dav', 'full');
  const isGone = method === 'MOVE' && left === 'new';
  const expected = isGone ? ['old/a', 'old/b'] : ['new/a', 'new/b', 'old/a', 'old/b'];
  await until('it is put right', async () => {
    return (await filesOf(docroot, 1)).join() === expected.join();
  });
  for (const file of ['a', 'b']) {
    expect((await ask(`${url}/dev1/old/${file}`)).text).toBe(`${left} ${file}`);
  }
});

test('SIGTERM ends it cleanly, and the pidfile comes and goes', async () => {
  const docroot = await createDocroot(1);
  const pidfile = join(docroot, 'pid');
  const { child, url } = await launch(docroot, '--pidfile', pidfile);
  const read = () => readFile(pidfile, 'utf8');
  await until('the pidfile', async () => (await read()) === `${child.pid}\n`);
  expect((await put(`${url}/dev1/f`, 'x')).status).toBe(200);
  expect(await end(child, 'SIGTERM')).toBe(0);
  expect(existsSync(pidfile)).toBe(false);
  const { child: other } = await launch(docroot);
  expect(await end(other, 'SIGINT')).toBe(0);
});

test('mistakes of a person end it with a sentence', async () => {
  const docroot = await createDocroot(1);
  await expect(launch(docroot, '--docrot', 'x')).rejects.toThrow(/did you mean 'docroot'/);
  await expect(launch('/nowhere/at/all')).rejects.toThrow(/docroot \/nowhere\/at\/all cannot/);
  await writeFile(join(docroot, '.omgfs-node.json'), '{}');
  await expect(launch(docroot)).rejects.toThrow(/is damaged/);
  expect((await readdir(join(docroot, 'dev1'))).length).toBe(0);
});
