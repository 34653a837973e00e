/** Goal: only what a dead process left is put right, and only inside of its device. Method: a real
 *  device that is looked at and swept anew, as after its disk had not answered for a while. */
import { existsSync } from 'node:fs';
import {
  link,
  mkdir,
  readdir,
  readFile,
  symlink,
  unlink,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { noteAside } from '../../src/dav/asides.ts';
import { Device } from '../../src/device/device.ts';
import { NodeMemory } from '../../src/device/node-memory.ts';
import { createDocroot, quiet } from '../helpers.ts';

async function createDevice(docroot: string, tempPrefix: string): Promise<Device> {
  const device = new Device(1, {
    ...{ docroot, tempPrefix, log: quiet, memory: await NodeMemory.load(docroot) },
    ...{ sync: 'never', laneWidth: 4, fileThreads: { free: 0 }, reserveBytes: 0 },
    keptFiles: { free: 0 },
  });
  await device.look();
  return device;
}

test('a copy that is being made stays when its device comes back meanwhile', async () => {
  const docroot = await createDocroot(1);
  const device = await createDevice(docroot, 'one-');
  await device.sweep([]);
  await noteAside(device, { name: 'copy' });
  await mkdir(`${device.root}/copy`);
  await writeFile(`${device.root}/copy/first`, 'there already');
  // As if its disk had been away: it is identified anew.
  await utimes(`${device.root}/.omgfs-device.json`, 1, 1);
  await device.sweep([]);
  expect(existsSync(`${device.root}/copy/first`)).toBe(true);
  await (await createDevice(docroot, 'two-')).sweep([]);
  expect(existsSync(`${device.root}/copy`)).toBe(false);
});

test.each(['../kept', 'x/../../kept', 'link/kept', '', '.', '/'])(
  'a note of %j removes nothing',
  async (name) => {
    const docroot = await createDocroot(1);
    await mkdir(`${docroot}/kept`);
    const device = await createDevice(docroot, 'one-');
    await writeFile(`${device.root}/file`, 'stays');
    await symlink(docroot, `${device.root}/link`);
    await noteAside(device, { name });
    await (await createDevice(docroot, 'two-')).sweep([]);
    expect(existsSync(`${docroot}/kept`)).toBe(true);
    expect(existsSync(`${device.root}/file`)).toBe(true);
  },
);

/** At which of its steps a process that replaces `to` by `from` died; `from` and `to` are files. */
const deaths = {
  'while the old file steps aside': ['link to aside'],
  'when it had stepped aside': ['link to aside', 'unlink to'],
  'while the new one takes its place': ['link to aside', 'unlink to', 'link from to'],
};

describe('a file that took the place of a collection, or was to,', () => {
  test.each(Object.entries(deaths))('is there once after a death %s', async (_, steps) => {
    const docroot = await createDocroot(1);
    const device = await createDevice(docroot, 'one-');
    const path = (name: string) => `${device.root}/${name}`;
    for (const name of ['from', 'to']) await writeFile(path(name), name);
    const names = async () => {
      const all = await readdir(device.root);
      return all.filter((name) => ['from', 'to', 'aside'].includes(name)).sort();
    };
    const before = await names();
    await noteAside(device, { name: 'aside', replaced: { name: 'to', by: 'from' } });
    for (const step of steps) {
      const [call, one = '', other = ''] = step.split(' ');
      if (call === 'link') await link(path(one), path(other));
      else await unlink(path(one));
    }
    await (await createDevice(docroot, 'two-')).sweep([]);
    const came = steps.includes('link from to');
    expect(await names()).toEqual(before.filter((name) => !(came && name === 'from')));
    expect(await readFile(path('to'), 'utf8')).toBe(came ? 'from' : 'to');
  });
});

test.each(['to', 'aside'])('a collection is back after a death when %s was made', async (made) => {
  const docroot = await createDocroot(1);
  const device = await createDevice(docroot, 'one-');
  const path = (name: string) => `${device.root}/${name}`;
  for (const name of ['from', made === 'to' ? 'aside' : 'to']) {
    await mkdir(path(name));
    await writeFile(`${path(name)}/${name}`, '');
  }
  await noteAside(device, { name: 'aside', replaced: { name: 'to', by: 'from' } });
  // What a collection is moved to is made before, empty.
  await mkdir(path(made));
  await (await createDevice(docroot, 'two-')).sweep([]);
  expect(await readdir(path('to'))).toEqual([made === 'to' ? 'aside' : 'to']);
  expect(await readdir(path('from'))).toEqual(['from']);
  expect(existsSync(path('aside'))).toBe(false);
});
