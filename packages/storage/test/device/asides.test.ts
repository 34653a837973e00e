/** Goal: only what a dead process left is put right, and only inside of its device. Method: a real
 *  device that is looked at and swept anew, as after its disk had not answered for a while. */
import { existsSync } from 'node:fs';
import { mkdir, utimes, writeFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
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

test.each(['../kept', 'x/../../kept', '', '.', '/'])(
  'a note of %j removes nothing',
  async (name) => {
    const docroot = await createDocroot(1);
    await mkdir(`${docroot}/kept`);
    const device = await createDevice(docroot, 'one-');
    await writeFile(`${device.root}/file`, 'stays');
    await noteAside(device, { name });
    await (await createDevice(docroot, 'two-')).sweep([]);
    expect(existsSync(`${docroot}/kept`)).toBe(true);
    expect(existsSync(`${device.root}/file`)).toBe(true);
  },
);
