/** Goal: one user at a time of a state directory, and no process of a killed one left. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { lockState, readState, writeState } from '../src/local-cluster/state.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-state-'));
const lockFile = join(dir, 'lock');
afterAll(() => rmSync(dir, { recursive: true }));

test('what is written is read again; nothing and rubbish are no state', () => {
  expect(readState(dir)).toBeUndefined();
  const state = { domain: 'd', trackerPorts: [1], nodePorts: [2, 3] };
  writeState(dir, state);
  expect(readState(dir)).toEqual(state);
  for (const rubbish of ['{"dom', '{}', 'null', '[]', '{"domain":"d","nodePorts":3}']) {
    writeFileSync(join(dir, 'cluster.json'), rubbish);
    expect(readState(dir)).toBeUndefined();
  }
  rmSync(join(dir, 'cluster.json'));
});

test('the second is refused until the first lets go', async () => {
  const lock = await lockState(dir);
  await expect(lockState(dir)).rejects.toThrow(/in use by process/);
  lock.note([process.pid]);
  await expect(lockState(dir)).rejects.toThrow(/in use by process/);
  lock.release();
  (await lockState(dir)).release();
  expect(readdirSync(dir)).toEqual([]);
});

test('of many at the same moment one gets it', async () => {
  const tries = await Promise.allSettled(Array.from({ length: 20 }, () => lockState(dir)));
  const won = tries.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  expect(won.length).toBe(1);
  won[0]?.release();
});

test('daemons of a dead holder are ended, a later process with such a number is not', async () => {
  const sleepers = [1, 2].map(() => spawn('sleep', ['60'], { stdio: 'ignore' }));
  const [orphan, stranger] = sleepers as [(typeof sleepers)[0], (typeof sleepers)[0]];
  const lock = await lockState(dir);
  lock.note([orphan.pid ?? 0, stranger.pid ?? 0]);
  const note = JSON.parse(readFileSync(lockFile, 'utf8'));
  note.holder.startedAt = '1';
  note.daemons[1].startedAt = '1';
  writeFileSync(lockFile, JSON.stringify(note));
  const ended = once(orphan, 'exit');
  (await lockState(dir)).release();
  expect((await ended)[1]).toBe('SIGKILL');
  expect(stranger.exitCode ?? stranger.signalCode).toBeNull();
  stranger.kill();
});

test('a lock that cannot be read is nobody’s', async () => {
  writeFileSync(lockFile, '{"pid":');
  (await lockState(dir)).release();
});
