import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { findTarget } from '../src/config.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-target-'));
const before = process.cwd();
beforeAll(() => process.chdir(dir));
afterAll(() => {
  process.chdir(before);
  rmSync(dir, { recursive: true });
});

const running = { domain: 'kept', trackerPorts: [7001], nodePorts: [] };

test('without any hint the error names the ways to give one', () => {
  expect(() => findTarget({}, {})).toThrow(
    expect.objectContaining({
      code: 'NO_TRACKER_UP',
      message: expect.stringMatching(/--tracker.*OMGFS_TRACKERS.*omgfs up/),
    }),
  );
  expect(() => findTarget({ tracker: 'a:1' }, {})).toThrow(
    expect.objectContaining({ code: 'NO_DOMAIN' }),
  );
});

test('flags win over the environment, which wins over a running cluster', () => {
  mkdirSync(join(dir, '.omgfs'));
  writeFileSync(join(dir, '.omgfs/cluster.json'), JSON.stringify(running));
  const env = { OMGFS_TRACKERS: 'b:2, c:3', OMGFS_DOMAIN: 'env' };
  expect(findTarget({ tracker: 'a:1', domain: 'flag' }, env)).toEqual({
    trackers: ['a:1'],
    domain: 'flag',
  });
  expect(findTarget({}, env)).toEqual({ trackers: ['b:2', 'c:3'], domain: 'env' });
  expect(findTarget({}, {})).toEqual({ trackers: ['127.0.0.1:7001'], domain: 'kept' });
});
