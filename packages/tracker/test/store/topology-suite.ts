/**
 * Goal: domains, classes, hosts, devices and settings behave alike on both engines. Method: as
 * suite.ts.
 */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Store } from '../../src/store/store.ts';
import { atOnce, codeOf, type FreshDatabase, type OpenFresh, put } from './fixture.ts';

export function topologySuite(openFresh: OpenFresh): void {
  let database: FreshDatabase;
  let store: Store;

  beforeEach(async () => {
    database = await openFresh();
    store = await database.open();
  });
  afterEach(() => database.drop());

  describe('domains and classes', () => {
    test('a domain is created once and deleted only when empty', async () => {
      const dmid = await store.createDomain('one');
      expect(await codeOf(store.createDomain('one'))).toBe('DOMAIN_EXISTS');
      await store.createClass({ dmid, name: 'default', mindevcount: 3 });
      const classid = await store.createClass({ dmid, name: 'thumb' });
      expect(await codeOf(store.deleteDomain(dmid))).toBe('DOMAIN_HAS_CLASSES');
      await put(store, { dmid, dkey: 'a', classid });
      expect(await codeOf(store.deleteDomain(dmid))).toBe('DOMAIN_HAS_FILES');
      expect(await codeOf(store.deleteClass({ dmid, classid }))).toBe('CLASS_HAS_FILES');
      await store.deleteKey({ dmid, dkey: 'a' });
      await store.deleteClass({ dmid, classid });
      expect(await codeOf(store.deleteClass({ dmid, classid }))).toBe('CLASS_NOT_FOUND');
      await store.deleteDomain(dmid);
      expect(await codeOf(store.deleteDomain(dmid))).toBe('DOMAIN_NOT_FOUND');
      expect(await store.loadTopology()).toMatchObject({ domains: [], classes: [] });
    });

    test('two trackers create domains at once, each with its own id', async () => {
      const other = await database.open();
      const dmids = await atOnce(10, (index) =>
        (index % 2 === 0 ? store : other).createDomain(`domain ${index}`),
      );
      expect([...dmids].sort((one, two) => one - two)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    });

    test('class fields are kept, and only the given ones change', async () => {
      const dmid = await store.createDomain('one');
      const fields = { mindevcount: 3, hashtype: 'MD5', replpolicy: 'MultipleHosts(3)' } as const;
      const classid = await store.createClass({ dmid, name: 'thumb', ...fields });
      expect(await codeOf(store.createClass({ dmid, name: 'thumb' }))).toBe('CLASS_EXISTS');
      const row = { dmid, classid, name: 'thumb', ...fields };
      expect((await store.loadTopology()).classes).toEqual([row]);
      await store.updateClass({ dmid, classid, mindevcount: 4 });
      expect((await store.loadTopology()).classes).toEqual([{ ...row, mindevcount: 4 }]);
      await store.updateClass({ dmid, classid, hashtype: null, replpolicy: null });
      expect((await store.loadTopology()).classes).toEqual([
        { ...row, mindevcount: 4, hashtype: null, replpolicy: null },
      ]);
      expect(await codeOf(store.updateClass({ dmid, classid: 9 }))).toBe('CLASS_NOT_FOUND');
    });

    test('a class in a domain that is gone, and the id of a class that uploads name', async () => {
      const dmid = await store.createDomain('kept');
      const gone = await store.createDomain('gone');
      await store.deleteDomain(gone);
      expect(await codeOf(store.createClass({ dmid: gone, name: 'a' }))).toBe('DOMAIN_NOT_FOUND');
      const classid = await store.createClass({ dmid, name: 'brief' });
      await store.openTempfile({ dmid, dkey: 'a', classid, devids: [1] });
      await store.deleteClass({ dmid, classid });
      expect(await store.createClass({ dmid, name: 'later' })).toBeGreaterThan(classid);
    });

    test('the default class has id 0 and gets its row when it is changed', async () => {
      const dmid = await store.createDomain('one');
      await store.updateClass({ dmid, classid: 0, hashtype: 'SHA-1' });
      expect((await store.loadTopology()).classes).toEqual([
        { dmid, classid: 0, name: 'default', mindevcount: 2, hashtype: 'SHA-1', replpolicy: null },
      ]);
      expect(await codeOf(store.createClass({ dmid, name: 'default' }))).toBe('CLASS_EXISTS');
    });
  });

  describe('hosts and devices', () => {
    const host = { hostname: 'h1', hostip: '10.0.0.1', httpPort: 7500 };

    test('a refused host leaves nothing', async () => {
      const hostid = await store.createHost({ ...host, altip: '10.1.0.1', altmask: '10.1.0.0/16' });
      expect(await codeOf(store.createHost({ ...host, hostip: '10.0.0.9' }))).toBe('HOST_EXISTS');
      expect(await codeOf(store.createHost({ ...host, hostname: 'h2' }))).toBe('DUPLICATE');
      const sameAlt = { hostname: 'h2', hostip: '10.0.0.2', httpPort: 1, altip: '10.1.0.1' };
      expect(await codeOf(store.createHost(sameAlt))).toBe('DUPLICATE');
      expect((await store.loadTopology()).hosts).toEqual([
        {
          ...host,
          hostid,
          status: 'down',
          httpGetPort: null,
          altip: '10.1.0.1',
          altmask: '10.1.0.0/16',
        },
      ]);
    });

    test('hosts change and go when they are empty', async () => {
      const hostid = await store.createHost({ ...host, status: 'alive', httpGetPort: 7600 });
      const other = await store.createHost({ ...host, hostname: 'h2', hostip: '10.0.0.2' });
      await store.updateHost({ hostid, status: 'readonly', hostip: '10.0.0.3', httpGetPort: null });
      expect((await store.loadTopology()).hosts[0]).toMatchObject({
        status: 'readonly',
        hostip: '10.0.0.3',
        httpGetPort: null,
      });
      await store.updateHost({ hostid });
      expect(await codeOf(store.updateHost({ hostid, hostip: '10.0.0.2' }))).toBe('DUPLICATE');
      expect(await codeOf(store.updateHost({ hostid: 99 }))).toBe('HOST_NOT_FOUND');
      await store.createDevice({ devid: 1, hostid, status: 'alive' });
      expect(await codeOf(store.deleteHost(hostid))).toBe('HOST_NOT_EMPTY');
      await store.deleteHost(other);
      expect(await codeOf(store.deleteHost(other))).toBe('HOST_NOT_FOUND');
    });

    test('devices have a state, a weight and a usage', async () => {
      const hostid = await store.createHost(host);
      await store.createDevice({ devid: 7, hostid, status: 'down' });
      const again = store.createDevice({ devid: 7, hostid, status: 'down' });
      expect(await codeOf(again)).toBe('EXISTING_DEVID');
      await store.setDeviceStatus({ devid: 7, status: 'drain' });
      await store.setDeviceWeight({ devid: 7, weight: 30 });
      // The same values again are no error.
      await store.setDeviceWeight({ devid: 7, weight: 30 });
      await store.setDeviceUsage([
        { devid: 99, mbTotal: 1, mbUsed: 1, mbAsof: 1 },
        { devid: 7, mbTotal: 20_000_000, mbUsed: 12, mbAsof: 1_800_000_000 },
      ]);
      expect((await store.loadTopology()).devices).toEqual([
        {
          devid: 7,
          hostid,
          status: 'drain',
          weight: 30,
          mbTotal: 20_000_000,
          mbUsed: 12,
          mbAsof: 1_800_000_000,
        },
      ]);
      expect(await codeOf(store.setDeviceWeight({ devid: 8, weight: 1 }))).toBe('NO_DEVICE');
      expect(await codeOf(store.setDeviceStatus({ devid: 8, status: 'down' }))).toBe('NO_DEVICE');
    });
  });

  test('settings are set, read and removed', async () => {
    await store.setSetting({ field: 'zone_a', value: 'ä\xff ' });
    await store.setSetting({ field: 'zone_a', value: '10.0.0.0/8\n' });
    expect(await store.findSetting('zone_a')).toBe('10.0.0.0/8\n');
    const both = [
      { field: 'omg_heal_after', value: '3600' },
      { field: 'schema_version', value: '17' },
      { field: 'zone_a', value: '10.0.0.0/8\n' },
    ];
    expect(await store.listSettings()).toEqual(both);
    expect((await store.loadTopology()).settings).toEqual(both);
    await store.setSetting({ field: 'zone_a', value: undefined });
    expect(await store.findSetting('zone_a')).toBeUndefined();
  });
}
