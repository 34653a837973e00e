/**
 * Goal: new files go where there is room, spread over hosts, and readers get idle devices first.
 * Method: the pure functions with a seeded generator, counting over many draws.
 */
import { describe, expect, test } from 'vitest';
import { type Candidate, chooseDestinations } from '../../src/placement/choose.ts';
import { orderPaths, type ReadableReplica } from '../../src/placement/order-paths.ts';
import { seeded } from './seeded.ts';

function device(fields: Partial<Candidate> & { devid: number }): Candidate {
  const mbTotal = 1000;
  const freeShare = fields.freeShare ?? 0.5;
  const mbUsed = mbTotal * (1 - freeShare);
  return { hostid: fields.devid, weight: 100, mbTotal, mbUsed, freeShare, ...fields };
}

/** How often each devid comes first in 2000 draws. */
function firsts(draw: () => number[]): Map<number | undefined, number> {
  const counts = new Map<number | undefined, number>();
  for (let round = 0; round < 2000; round += 1) {
    const [first] = draw();
    counts.set(first, (counts.get(first) ?? 0) + 1);
  }
  return counts;
}

describe('chooseDestinations', () => {
  test('several destinations are on different hosts while there are enough', () => {
    const random = seeded(1);
    // Device ids equal host ids of others: the original mixes the two up (spec §11.1 no. 2).
    const candidates = [1, 2, 3, 4, 5, 6].map((devid) => {
      return device({ devid, hostid: 1 + Math.floor((devid - 1) / 2), freeShare: devid / 10 });
    });
    for (let round = 0; round < 200; round += 1) {
      const chosen = chooseDestinations(candidates, { count: 3, random });
      const hosts = chosen.map((devid) => Math.floor((devid - 1) / 2));
      expect(new Set(hosts).size).toBe(3);
    }
  });

  test('one host full of empty disks does not hide the others', () => {
    const many = Array.from({ length: 30 }, (_, index) => {
      return device({ devid: index + 1, hostid: 1, freeShare: 0.9 });
    });
    const other = device({ devid: 99, hostid: 2, freeShare: 0.1 });
    const chosen = chooseDestinations([...many, other], { count: 2, random: seeded(2) });
    expect(chosen).toContain(99);
  });

  test('a single host still gives several destinations', () => {
    const candidates = [1, 2, 3].map((devid) => device({ devid, hostid: 7 }));
    const chosen = chooseDestinations(candidates, { count: 3, random: seeded(3) });
    expect(chosen.toSorted()).toEqual([1, 2, 3]);
  });

  test('free space decides how often a device is first', () => {
    const random = seeded(4);
    const candidates = [device({ devid: 1, freeShare: 0.9 }), device({ devid: 2, freeShare: 0.1 })];
    const counts = firsts(() => chooseDestinations(candidates, { count: 1, random }));
    expect(counts.get(1)).toBeGreaterThan(1700);
    expect(counts.get(2)).toBeGreaterThan(100);
  });

  test('the weight steers, and 0 takes no new files', () => {
    const random = seeded(5);
    const candidates = [
      device({ devid: 1, weight: 300 }),
      device({ devid: 2, weight: 100 }),
      device({ devid: 3, weight: 0 }),
    ];
    const counts = firsts(() => chooseDestinations(candidates, { count: 3, random }));
    expect(counts.get(1)).toBeGreaterThan(1350);
    expect(counts.get(2)).toBeGreaterThan(350);
    expect(counts.get(3)).toBeUndefined();
  });

  test('devices without room for the announced size, full and unknown ones are out', () => {
    const candidates = [
      device({ devid: 1, freeShare: 0.5 }),
      device({ devid: 2, freeShare: 0.01 }),
      device({ devid: 3, freeShare: 0 }),
      device({ devid: 4, freeShare: 0, mbTotal: null, mbUsed: null }),
    ];
    const random = seeded(6);
    const sizeBytes = 100 * 1024 * 1024;
    expect(chooseDestinations(candidates, { count: 4, sizeBytes, random })).toEqual([1]);
    expect(chooseDestinations(candidates, { count: 4, random }).toSorted()).toEqual([1, 2]);
    expect(chooseDestinations([], { count: 1, random })).toEqual([]);
  });

  test('only the twenty with most room take part', () => {
    const candidates = Array.from({ length: 40 }, (_, index) => {
      return device({ devid: index + 1, freeShare: (index + 1) / 100 });
    });
    const counts = firsts(() => chooseDestinations(candidates, { count: 1, random: seeded(7) }));
    expect([...counts.keys()].every((devid) => (devid ?? 0) > 20)).toBe(true);
  });
});

describe('orderPaths', () => {
  function replica(fields: Partial<ReadableReplica> & { devid: number }): ReadableReplica {
    return { weight: 100, draining: false, utilization: undefined, ...fields };
  }

  test('an idle device tends to come before a busy one, decimals included', () => {
    const random = seeded(8);
    const replicas = [
      replica({ devid: 1, utilization: '97.5' }),
      replica({ devid: 2, utilization: '2.25' }),
    ];
    const counts = firsts(() => orderPaths(replicas, { random }));
    expect(counts.get(2)).toBeGreaterThan(1800);
  });

  test('without utilisation the weight decides, and weight 0 is read last', () => {
    const random = seeded(9);
    const replicas = [
      replica({ devid: 1, weight: 0 }),
      replica({ devid: 2, weight: 50, utilization: '-' }),
      replica({ devid: 3, weight: 150 }),
    ];
    const counts = firsts(() => orderPaths(replicas, { random }));
    expect(counts.get(3)).toBeGreaterThan(1350);
    expect(counts.get(2)).toBeGreaterThan(350);
    expect(counts.get(1)).toBeUndefined();
  });

  test('draining devices come last', () => {
    const random = seeded(10);
    const replicas = [
      replica({ devid: 1, draining: true, weight: 10_000 }),
      replica({ devid: 2, weight: 1 }),
    ];
    for (let round = 0; round < 100; round += 1) {
      expect(orderPaths(replicas, { random })).toEqual([2, 1]);
    }
  });
});
