/** Goal: every way to write a path leads below a device or to a refusal. Method: tables. */
import { OmgfsError } from '@omgfs/protocol';
import { expect, test } from 'vitest';
import { parseReadTarget, parseWriteTarget } from '../../src/http/path.ts';

function codeOf(act: () => unknown): unknown {
  try {
    return act();
  } catch (error) {
    return error instanceof OmgfsError ? error.code : error;
  }
}

const on = (devid: number, name: string) => ({ kind: 'device', devid, name });

test.each([
  ['/', { kind: 'root' }],
  ['/?a=b', { kind: 'root' }],
  ['/dev1', on(1, '')],
  ['/dev1/', on(1, '')],
  ['/dev12/a/b.fid', on(12, 'a/b.fid')],
  ['//dev1///a//b', on(1, 'a/b')],
  ['/dev1/a%20b?c=/../', on(1, 'a b')],
  ['/dev1/%e2%82%ac', on(1, '€')],
  ['http://host:7500/dev1/a', on(1, 'a')],
  ['/fid/5', { kind: 'fid', fid: 5 }],
  ['/fid/x', 'NO_FILE'],
  ['/dev0/a', 'NO_FILE'],
  ['/dev01/a', 'NO_FILE'],
  ['/etc/passwd', 'NO_FILE'],
  ['/../', 'PATH_FORBIDDEN'],
  ['/dev1/../dev2/a', 'PATH_FORBIDDEN'],
  ['/dev1/%2e%2e/dev2/a', 'PATH_FORBIDDEN'],
  ['/dev1/..%2fdev2/a', 'PATH_FORBIDDEN'],
  ['/dev1/.tmp/x', 'PATH_FORBIDDEN'],
  ['/dev1/.omgfs-device.json', 'PATH_FORBIDDEN'],
  ['/.omgfs-node.json', 'PATH_FORBIDDEN'],
  ['/%', 'INVALID_PATH'],
  ['/dev1/%zz', 'INVALID_PATH'],
  ['/dev1/%ff', 'INVALID_PATH'],
  ['/dev1/a%00b', 'INVALID_PATH'],
  ['*', 'INVALID_PATH'],
  ['dev1/a', 'INVALID_PATH'],
  [`/dev1/${'a'.repeat(256)}`, 'INVALID_PATH'],
  [`/dev1${'/abcdefg'.repeat(1000)}`, 'INVALID_PATH'],
])('reading %s', (target, expected) => {
  expect(codeOf(() => parseReadTarget(target))).toEqual(expected);
});

test.each([
  ['/dev1/a/b.fid', { devid: 1, name: 'a/b.fid', directory: false }],
  ['/dev1/a/b/', { devid: 1, name: 'a/b', directory: true }],
  ['/dev1', { devid: 1, name: '', directory: false }],
  ['/dev1/%61', { devid: 1, name: 'a', directory: false }],
  ['/', 'INVALID_PATH'],
  ['/dev1/a b', 'INVALID_PATH'],
  ['/dev1/a%20b', 'INVALID_PATH'],
  ['/dev1/a%2f..%2f..%2fb', 'INVALID_PATH'],
  ['/dev1/../dev2/a', 'INVALID_PATH'],
  ['/dev1/%00', 'INVALID_PATH'],
  ['/dev1/%', 'INVALID_PATH'],
  ['/nodev/a', 'NO_DEVICE'],
  ['/fid/5', 'NO_DEVICE'],
  ['/dev1/usage', 'PATH_FORBIDDEN'],
  ['/dev1//usage', 'PATH_FORBIDDEN'],
  ['/dev1/usage/x', 'PATH_FORBIDDEN'],
  ['/dev1/.tmp/x', 'PATH_FORBIDDEN'],
  ['/dev1/%2etmp/x', 'PATH_FORBIDDEN'],
  ['/dev1/./a', 'PATH_FORBIDDEN'],
  ['/dev1/a/.hidden', 'PATH_FORBIDDEN'],
  ['/dev1/.omgfs-device.json', 'PATH_FORBIDDEN'],
])('writing %s', (target, expected) => {
  expect(codeOf(() => parseWriteTarget(target))).toEqual(expected);
});
