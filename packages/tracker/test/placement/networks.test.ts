/**
 * Goal: addresses fall into the network zones that the settings describe (spec §6.5, §6.6), and
 * ZoneLocal puts the zone of the client first (§6.7).
 * Method: settings as operators write them.
 */
import { expect, test } from 'vitest';
import { Networks } from '../../src/placement/networks.ts';
import { Topology } from '../../src/topology/topology.ts';

const settings = new Map([
  ['network_zones', 'near, far,rack, broken, undefined, mask, short'],
  ['zone_mask', '172.16.0.0/255.240.0.0,172.64.0.0:255.255.0.0, 172.99.0.0/255.0.255.0'],
  ['zone_short', '11/8 12.5'],
  ['zone_near', '10.1.0.0/16, 10.2.0.0/16'],
  ['zone_far', '127.0.0.0/30 192.168.7.9'],
  ['zone_rack', '10.1.5.0/24'],
  ['zone_broken', '10.300.0.0/16,nonsense,10.9.0.0/99'],
]);

test.each([
  ['10.1.0.1', 'near'],
  ['10.2.255.255', 'near'],
  ['10.1.5.77', 'rack'],
  ['192.168.7.9', 'far'],
  ['172.31.1.1', 'mask'],
  ['172.64.1.1', 'mask'],
  ['172.99.0.1', '172.99.0.0/16'],
  ['11.1.2.3', 'short'],
  ['12.5.2.3', 'short'],
  ['12.6.2.3', '12.6.0.0/16'],
  ['192.168.7.8', '192.168.0.0/16'],
  ['10.9.0.1', '10.9.0.0/16'],
  ['host.example', 'host.example'],
])('%s is in %s', (address, expected) => {
  expect(new Networks((field) => settings.get(field)).of(address)).toBe(expected);
});

function topology(options: { zoneLocal: boolean; localNetwork?: string }): Topology {
  const made = new Topology({ mindevcountDefault: 2, freeSpaceMinMb: 0, ...options });
  const host = { status: 'alive', httpPort: 1, httpGetPort: null, altip: null, altmask: null };
  const device = { status: 'alive', weight: 100, mbTotal: 1, mbUsed: 0, mbAsof: 0 };
  made.replace({
    domains: [],
    classes: [],
    hosts: ['10.1.0.1', '127.0.0.1', '10.1.5.1', '127.0.0.2'].map((hostip, index) => {
      return { ...host, status: 'alive' as const, hostid: index + 1, hostname: hostip, hostip };
    }),
    devices: [1, 2, 3, 4].map((id) => {
      return { ...device, status: 'alive' as const, devid: id, hostid: id };
    }),
    settings: [...settings].map(([field, value]) => ({ field, value })),
  });
  return made;
}

test('ZoneLocal puts devices in the zone of the client first and keeps the order', () => {
  const local = topology({ zoneLocal: true, localNetwork: '10.1.5.0/24' });
  expect(local.nearFirst([1, 4, 3, 2], '127.0.0.3')).toEqual([4, 2, 1, 3]);
  expect(local.nearFirst([1, 4, 3, 2], '8.8.8.8')).toEqual([1, 4, 3, 2]);
  expect(local.nearOnly([1, 2, 3, 4], undefined)).toEqual([3]);
});

test('without ZoneLocal nothing is put first', () => {
  const plain = topology({ zoneLocal: false, localNetwork: '10.1.5.0/24' });
  expect(plain.nearFirst([1, 4, 3, 2], '127.0.0.3')).toEqual([1, 4, 3, 2]);
  expect(plain.nearOnly([1, 2], undefined)).toEqual([1, 2]);
});
