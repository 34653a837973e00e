/** Goal: looks at a disk, of which there are as many as files that are not found, leave no timers.
 *  Method: a real device, and the runtime's own count of timers that were made and are not gone. */
import { createHook } from 'node:async_hooks';
import { stat } from 'node:fs/promises';
import { expect, onTestFinished, test } from 'vitest';
import { Devices } from '../../src/device/devices.ts';
import { inTime } from '../../src/device/io/in-time.ts';
import { createDocroot, quiet } from '../helpers.ts';

/** Timers that some work leaves running. */
async function timersLeft(work: () => Promise<void>): Promise<number> {
  const timers = new Set<number>();
  const hook = createHook({
    init: (id, type) => void (type === 'Timeout' && timers.add(id)),
    destroy: (id) => void timers.delete(id),
  }).enable();
  await work().finally(() => hook.disable());
  return timers.size;
}

test('fifty looks at a device', async () => {
  const docroot = await createDocroot(1);
  const options = { docroot, sync: 'never', threads: 4, reserveBytes: 0, adopt: [] } as const;
  const devices = await Devices.open({ ...options, log: quiet });
  onTestFinished(() => devices.close());
  const device = await devices.find(1);
  const left = await timersLeft(async () => {
    for (let look = 0; look < 50; look += 1) await device.look();
  });
  // The runner of the tests has timers as well.
  expect(left).toBeLessThan(5);
});

test('a disk that answers while this process sleeps is in time', async () => {
  const looks = async () => {
    for (let look = 0; look < 4; look += 1) await stat('.');
    return 'done';
  };
  const outcome = inTime(looks(), 1_000);
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_100);
  expect(await outcome).toBe('done');
});

test('what takes too long is late, and may fail afterwards', async () => {
  let fail = (_: Error) => {};
  const work = new Promise<string>((_, reject) => {
    fail = reject;
  });
  expect(await inTime(work, 1)).toBe('late');
  fail(new Error('too late'));
  await expect(inTime(work, 60_000)).rejects.toThrow('too late');
  expect(await inTime(Promise.resolve('done'), 60_000)).toBe('done');
});
