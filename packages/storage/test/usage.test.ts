/** Goal: the usage file as trackers and mogadm read it (spec §8.2). Method: the file on disk and
 *  over HTTP, compared with what the system says. */
import { readFile, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { usageText } from '../src/device/usage.ts';
import { ask, startNode } from './helpers.ts';

test('names in alphabetical order, one a line, with numbers that fit the disk', async () => {
  const { url, docroot } = await startNode();
  const { status, text, headers } = await ask(`${url}/dev1/usage`);
  expect(status).toBe(200);
  expect(headers['content-type']).toMatch(/^text\/plain/);
  const lines = text.split('\n');
  expect(lines.pop()).toBe('');
  const values = new Map(lines.map((line) => line.split(': ') as [string, string]));
  expect([...values.keys()]).toEqual([
    'available',
    'device',
    'disk',
    'time',
    'total',
    'use',
    'used',
  ]);
  const { blocks, bsize } = await statfs(docroot);
  const total = Number(values.get('total'));
  expect(total).toBe(Number(values.get('used')) + Number(values.get('available')));
  expect(total).toBeLessThanOrEqual((blocks * bsize) / 1024);
  expect(values.get('use')).toMatch(/^\d{1,3}%$/);
  expect(values.get('disk')).toBe(join(docroot, 'dev1'));
  expect(await readFile(join(docroot, 'dev1/usage'), 'utf8')).toBe(text);
});

test('a usage file that someone removes is still served', async () => {
  const { url, docroot } = await startNode();
  await rm(join(docroot, 'dev1/usage'));
  expect((await ask(`${url}/dev1/usage`, { method: 'HEAD' })).status).toBe(200);
});

test('it is written again and again, and never empty', async () => {
  const { docroot } = await startNode({ sweepMs: 200 });
  const read = () => readFile(join(docroot, 'dev2/usage'), 'utf8');
  const before = await read();
  await until('a newer file', async () => {
    const now = await read();
    expect(now).toMatch(/\nused: \d+\n$/);
    return now !== before;
  });
  expect(await read()).toMatch(/^available: \d+\n[\s\S]*\nused: \d+\n$/);
});

test('source and percentage as df prints them', () => {
  const stats = { type: 0, bsize: 4096, blocks: 1000, bfree: 300, bavail: 200, files: 0, ffree: 0 };
  const mounts = [
    { source: '/dev/sda', mountPoint: '/' },
    { source: '/dev/sdb', mountPoint: '/var/mogdata/dev1' },
    { source: '/dev/sdc', mountPoint: '/var/mogdata/dev11' },
  ];
  const text = usageText({ root: '/var/mogdata/dev1', stats, mounts, timeSeconds: 7 });
  expect(text).toBe(
    'available: 800\ndevice: /dev/sdb\ndisk: /var/mogdata/dev1\ntime: 7\n' +
      'total: 3600\nuse: 78%\nused: 2800\n',
  );
});
