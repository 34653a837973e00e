import { expect, test } from 'vitest';
import { fidDirectories, fidPath, parseFidPath } from '../src/index.ts';

test.each([
  [3, 5, '/dev3/0/000/000/0000000005.fid'],
  [1, 1234567890, '/dev1/1/234/567/1234567890.fid'],
  [1, 12345678901, '/dev1/1/234/567/12345678901.fid'],
])('device %d, fid %d is at %s', (devid, fid, path) => {
  expect(fidPath(devid, fid)).toBe(path);
  expect(parseFidPath(path)).toEqual({ devid, fid });
});

test('directories are those above the file', () => {
  expect(fidDirectories(3, 1234567890)).toEqual(['/dev3/1/', '/dev3/1/234/', '/dev3/1/234/567/']);
});

test.each([
  '/dev3/0/000/000/5.fid',
  '/dev3/1/000/000/0000000005.fid',
  '/dev3/0/000/000/0000000005.fid/',
  '/dev03/0/000/000/0000000005.fid',
  '/dev3/usage',
  '/dev3/0/000/000/../000/0000000005.fid',
])('%s is no replica path', (path) => {
  expect(parseFidPath(path)).toBeUndefined();
});
