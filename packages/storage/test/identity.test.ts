/** Goal: I6, a wrong disk is refused. Method: device directories are swapped, emptied and replaced
 *  under a running or restarted node, as mounts do; and a real mount. */
import { cp, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fidPath } from '@omgfs/protocol';
import { expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { Devices } from '../src/device/devices.ts';
import { createStorageNode } from '../src/index.ts';
import { ask, createDocroot, launch, put, putSmallDisk, quiet, startNode } from './helpers.ts';

const identityOf = async (docroot: string, devid: number) =>
  JSON.parse(await readFile(join(docroot, `dev${devid}/.omgfs-device.json`), 'utf8')) as {
    uuid: string;
    devid: number;
  };

/** Statuses of everything a client can ask of a device. */
async function statusesOf(url: string, devid: number): Promise<number[]> {
  const file = url + fidPath(devid, 5);
  const answers = [
    await ask(file),
    await ask(file, { method: 'HEAD' }),
    await put(url + fidPath(devid, 6), 'x'),
    await ask(file, { method: 'DELETE' }),
    await ask(`${url}/dev${devid}/usage`),
    await ask(`${url}/dev${devid}/new/`, { method: 'MKCOL' }),
  ];
  return answers.map(({ status }) => status);
}

const allRefused = Array.from({ length: 6 }, () => 503);

test('I6: a device is adopted on first sight and recognised ever after', async () => {
  const { docroot, node } = await startNode();
  const before = await identityOf(docroot, 1);
  expect(before.devid).toBe(1);
  await node.close();
  const { url } = await startNode({ docroot });
  expect(await identityOf(docroot, 1)).toEqual(before);
  expect((await put(`${url}/dev1/f`, 'x')).status).toBe(200);
});

test('I6: files that were there before are adopted with the device', async () => {
  const docroot = await createDocroot(1);
  await mkdir(join(docroot, 'dev1/0/000/000'), { recursive: true });
  await writeFile(join(docroot, fidPath(1, 5)), 'from the old days');
  const { url } = await startNode({ docroot });
  expect((await ask(url + fidPath(1, 5))).text).toBe('from the old days');
});

test('I6: a disk that is unmounted while the node runs is never a missing file', async () => {
  const { docroot, url } = await startNode();
  await put(url + fidPath(1, 5), 'x');
  expect((await ask(url + fidPath(1, 5))).status).toBe(200);
  await rename(join(docroot, 'dev1'), join(docroot, 'away'));
  await mkdir(join(docroot, 'dev1'));
  // At once: the last look at the disk is no excuse for a 404.
  const got = await ask(url + fidPath(1, 5));
  expect(got.status).toBe(503);
  expect(got.text).toMatch(/no identity.*Mount the right disk.*--adopt dev1/);
  expect(await statusesOf(url, 1)).toEqual(allRefused);
  expect((await ask(`${url}/fid/5`)).status).toBe(503);
  // The other device is not concerned.
  expect((await put(`${url}/dev2/f`, 'x')).status).toBe(200);
  await rm(join(docroot, 'dev1'), { recursive: true });
  await rename(join(docroot, 'away'), join(docroot, 'dev1'));
  await until('the disk is back', async () => (await ask(url + fidPath(1, 5))).text === 'x');
  expect((await put(url + fidPath(1, 6), 'y')).status).toBe(200);
});

test('I6: nothing is made in a bare mount point, not even by the first request', async () => {
  const { docroot, url } = await startNode();
  await put(url + fidPath(1, 5), 'x');
  await put(`${url}/dev2/f`, 'x');
  for (const [device, target] of [
    ['dev1', fidPath(1, 9_000)],
    ['dev2', fidPath(2, 5)],
  ] as const) {
    await rename(join(docroot, device), join(docroot, `${device}-away`));
    await mkdir(join(docroot, device));
    expect((await put(url + target, 'x')).status).toBe(503);
    expect(await readdir(join(docroot, device))).toEqual([]);
  }
});

test('I6: a bare mount point is refused after a restart too, and gets nothing', async () => {
  const { docroot, node } = await startNode();
  await node.close();
  await rm(join(docroot, 'dev1'), { recursive: true });
  await mkdir(join(docroot, 'dev1'));
  const { url } = await startNode({ docroot });
  expect(await statusesOf(url, 1)).toEqual(allRefused);
  await rm(join(docroot, 'dev1'), { recursive: true });
  await until('a directory that is gone', async () => {
    return (await ask(url + fidPath(1, 5))).text.includes('is gone');
  });
  expect(await statusesOf(url, 1)).toEqual(allRefused);
});

test('I6: disks that changed places are refused and named', async () => {
  const { docroot, url } = await startNode();
  await rename(join(docroot, 'dev1'), join(docroot, 'away'));
  await rename(join(docroot, 'dev2'), join(docroot, 'dev1'));
  await rename(join(docroot, 'away'), join(docroot, 'dev2'));
  await until('dev1 is refused', async () => (await ask(`${url}/dev1/f`)).status === 503);
  expect(await statusesOf(url, 1)).toEqual(allRefused);
  expect(await statusesOf(url, 2)).toEqual(allRefused);
  expect((await ask(`${url}/dev1/f`)).text).toContain('that of dev2');
  expect((await ask(`${url}/dev2/f`)).text).toContain('that of dev1');
});

test('I6: another disk of the same device id is refused until it is adopted', async () => {
  const { docroot, node } = await startNode();
  await node.close();
  const other = await createDocroot(1);
  const stranger = await createStorageNode({ docroot: other }, { log: quiet });
  await stranger.close();
  await rm(join(docroot, 'dev1'), { recursive: true });
  await cp(join(other, 'dev1'), join(docroot, 'dev1'), { recursive: true });
  const { url, node: second } = await startNode({ docroot });
  expect((await ask(`${url}/dev1/usage`)).text).toContain('another disk');
  expect(await statusesOf(url, 1)).toEqual(allRefused);
  await second.close();
  const { url: third, node: adopting } = await startNode({ docroot, adopt: [1] });
  expect((await put(`${third}/dev1/f`, 'x')).status).toBe(200);
  // Its own identity is kept; a restart without the flag knows it.
  expect(await identityOf(docroot, 1)).toEqual(await identityOf(other, 1));
  await adopting.close();
  const { url: fourth } = await startNode({ docroot });
  expect((await ask(`${fourth}/dev1/f`)).text).toBe('x');
});

test('I6: an adopted empty disk gets an identity of its own', async () => {
  const { docroot, node } = await startNode();
  const before = await identityOf(docroot, 1);
  await node.close();
  await rm(join(docroot, 'dev1'), { recursive: true });
  await mkdir(join(docroot, 'dev1'));
  const { url } = await startNode({ docroot, adopt: [1] });
  expect((await put(`${url}/dev1/f`, 'x')).status).toBe(200);
  expect((await identityOf(docroot, 1)).uuid).not.toBe(before.uuid);
});

test('I6: a damaged identity file is refused, and so is a damaged memory', async () => {
  const { docroot, url, node } = await startNode();
  await writeFile(join(docroot, 'dev1/.omgfs-device.json'), '{"uuid":');
  await until('it is noticed', async () => (await ask(`${url}/dev1/f`)).text.includes('damaged'));
  expect(await statusesOf(url, 1)).toEqual(allRefused);
  await node.close();
  await writeFile(join(docroot, '.omgfs-node.json'), 'garbage');
  await expect(createStorageNode({ docroot }, { log: quiet })).rejects.toThrow(/is damaged/);
});

test('a device that appears while the node runs is served at once', async () => {
  const { docroot, url } = await startNode();
  expect((await put(`${url}/dev7/f`, 'x')).status).toBe(404);
  await mkdir(join(docroot, 'dev7'));
  expect((await put(`${url}/dev7/f`, 'x')).status).toBe(200);
  expect((await identityOf(docroot, 7)).devid).toBe(7);
});

test('a device directory may itself be a link to where the disk is mounted', async () => {
  const docroot = await createDocroot();
  const elsewhere = await createDocroot(1);
  await symlink(join(elsewhere, 'dev1'), join(docroot, 'dev3'));
  const { url } = await startNode({ docroot });
  expect((await put(url + fidPath(3, 5), 'x')).status).toBe(200);
  expect(await readFile(join(elsewhere, fidPath(1, 5)), 'utf8')).toBe('x');
  expect((await ask(url + fidPath(3, 5))).text).toBe('x');
});

test('adopting a device that does not exist refuses the start', async () => {
  const docroot = await createDocroot(1);
  const opening = Devices.open({
    docroot,
    sync: 'always',
    threads: 4,
    reserveBytes: 0,
    adopt: [4],
    log: quiet,
  });
  await expect(opening).rejects.toThrow(/no directory dev4/);
});

test('I6: a real file system that is unmounted and mounted again', async () => {
  const docroot = await createDocroot(1);
  const slot = join(docroot, 'dev1');
  await putSmallDisk(slot, 4);
  const { url } = await startNode({ docroot });
  expect((await put(url + fidPath(1, 5), 'x')).status).toBe(200);
  // Hidden below another mount, as when the wrong disk is mounted over it.
  const unmount = await putSmallDisk(slot, 2);
  expect((await ask(url + fidPath(1, 5))).status).toBe(503);
  expect(await statusesOf(url, 1)).toEqual(allRefused);
  await unmount();
  await until('the disk is back', async () => (await ask(url + fidPath(1, 5))).text === 'x');
});

test('I6: a disk that comes from another host is used, and its arrival is said', async () => {
  const { docroot, node, url } = await startNode();
  await put(`${url}/dev1/f`, 'moved');
  await node.close();
  const elsewhere = await createDocroot();
  await cp(join(docroot, 'dev1'), join(elsewhere, 'dev1'), { recursive: true });
  const { uuid } = await identityOf(docroot, 1);
  const first = await launch(elsewhere);
  expect(first.output()).toMatch(new RegExp(`"uuid":"${uuid}".*"device.arrived"`));
  expect((await ask(`${first.url}/dev1/f`)).text).toBe('moved');
  const second = await launch(elsewhere);
  expect(second.output()).not.toContain('device.arrived');
});
