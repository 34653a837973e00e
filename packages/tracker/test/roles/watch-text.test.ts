/** Goal: watched lines have the form that operators and the original's tests look for (§1.6). */
import { expect, test } from 'vitest';
import { watchText } from '../../src/roles/watch-text.ts';

const said = { level: 'warn', time: '2026-01-01T00:00:00Z', role: 'jobs', pid: 412 };

test.each([
  [
    {
      ...said,
      ...{ fid: 5, code: 'policy_no_suggestions', reason: 'ran out of suggestions', failcount: 3 },
      event: 'replication.postponed',
    },
    '[replicate(412)] policy_no_suggestions: ran out of suggestions - replication.postponed ' +
      'fid=5 failcount=3',
  ],
  [
    {
      ...said,
      devid: 3,
      reason: 'Connectivity problem reaching device 3',
      event: 'fsck.postponed',
    },
    '[fsck(412)] Connectivity problem reaching device 3 - fsck.postponed devid=3',
  ],
  [
    { ...said, level: 'debug', fid: 5, devid: 1, event: 'replica.deleted' },
    '[debug] [replicate(412)] replica.deleted fid=5 devid=1',
  ],
  [
    { ...said, line: 'test crash=1', err: { message: 'two\r\nlines' }, event: 'command.failed' },
    '[queryworker(412)] two lines - command.failed line=test crash=1',
  ],
  [
    { ...said, devids: [1, 2], note: null, event: 'device.reaped' },
    '[reaper(412)] device.reaped devids=[1,2]',
  ],
  [{ ...said, role: 'front', event: 'tracker.stopped' }, 'tracker.stopped'],
])('%j', (line, text) => {
  expect(watchText(JSON.stringify(line))).toBe(text);
});
