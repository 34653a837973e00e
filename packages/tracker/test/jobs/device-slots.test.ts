/**
 * Goal: no device copies more at once than the settings allow, one device waits for no other, and
 * what is to stop does not wait. Method: copies that end when the test says so.
 */
import { expect, test } from 'vitest';
import { DeviceSlots } from '../../src/jobs/replication/device-slots.ts';
import { Topology } from '../../src/topology/topology.ts';

const large = 2 ** 21;

/** Copies by name, that go on until `end`. */
function slotsOf(settings: Record<string, string>) {
  const topology = new Topology({ mindevcountDefault: 2, freeSpaceMinMb: 0 });
  topology.replace({
    domains: [],
    classes: [],
    hosts: [],
    devices: [],
    settings: Object.entries(settings).map(([field, value]) => ({ field, value })),
  });
  const slots = new DeviceSlots(topology);
  const running = new Map<string, () => void>();
  const begin = (
    name: string,
    copy: { from: number; to: number; bytes?: number; signal?: AbortSignal },
  ) => {
    const { from, to, bytes = 1, signal } = copy;
    const signals = signal ? [signal] : [];
    return slots.run({ devids: [from, to], bytes, signals }, () => {
      return new Promise<void>((resolve) => running.set(name, resolve));
    });
  };
  const end = async (name: string, copy: Promise<void>) => {
    running.get(name)?.();
    running.delete(name);
    await copy;
  };
  const names = async () => {
    await new Promise(setImmediate);
    return [...running.keys()];
  };
  return { slots, begin, end, names };
}

test('a device takes so many copies at once, in their order, and others do not wait', async () => {
  const { begin, end, names, slots } = slotsOf({ omg_device_copies: '2' });
  const first = begin('first', { from: 1, to: 2 });
  void begin('second', { from: 3, to: 2 });
  void begin('third', { from: 3, to: 2 });
  void begin('elsewhere', { from: 4, to: 5 });
  expect(await names()).toEqual(['first', 'second', 'elsewhere']);
  expect([slots.hasRoom(2, 1), slots.hasRoom(5, 1)]).toEqual([false, true]);
  await end('first', first);
  expect(await names()).toEqual(['second', 'elsewhere', 'third']);
});

test('a large file counts for many, is copied all the same, and is not overtaken', async () => {
  const { begin, end, names } = slotsOf({ omg_device_copies: '2' });
  const small = begin('small', { from: 1, to: 2 });
  const big = begin('large', { from: 1, to: 2, bytes: large });
  void begin('late', { from: 1, to: 2 });
  expect(await names()).toEqual(['small']);
  await end('small', small);
  expect(await names()).toEqual(['large']);
  await end('large', big);
  expect(await names()).toEqual(['late']);
});

test('what is to stop waits neither for room nor for its rate', async () => {
  const settings = { omg_device_copies: '1', omg_device_mib_per_second: '1' };
  const { begin, end, names } = slotsOf(settings);
  const stop = new AbortController();
  const first = begin('first', { from: 1, to: 2, bytes: 2 ** 40 });
  void begin('stopped', { from: 1, to: 2, signal: stop.signal });
  expect(await names()).toEqual(['first']);
  stop.abort();
  expect(await names()).toEqual(['first', 'stopped']);
  await end('first', first);
  void begin('paid for in days', { from: 3, to: 2 });
  expect(await names()).toEqual(['stopped']);
});
