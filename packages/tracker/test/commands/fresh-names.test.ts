/**
 * Goal: what another tracker has just made is known, and names that do not exist cost nothing.
 * Method: commands that say what a test wants, with the clock held still.
 */
import { type ErrorCode, OmgfsError } from '@omgfs/protocol';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { FreshNames } from '../../src/commands/fresh-names.ts';

beforeEach(() => void vi.useFakeTimers({ toFake: ['performance'] }));
afterEach(() => void vi.useRealTimers());

const request = { args: {}, address: '127.0.0.1' };

/** A command that knows its name after `reload`, if it ever does. */
function unknown(options: { appears: boolean; asynchronous?: boolean; code?: ErrorCode }) {
  const counts = { reloads: 0, runs: 0 };
  const names = new FreshNames(async () => {
    counts.reloads += 1;
  });
  const look = () => {
    counts.runs += 1;
    if (options.appears && counts.reloads > 0) return { found: 1 };
    throw new OmgfsError(options.code ?? 'UNREG_DOMAIN');
  };
  const command = names.wrap(options.asynchronous ? async () => look() : look);
  return { counts, run: async () => command(request) };
}

test.each([false, true])('an unknown name is looked for once more (%s)', async (asynchronous) => {
  const { counts, run } = unknown({ appears: true, asynchronous });
  expect(await run()).toEqual({ found: 1 });
  expect(counts).toEqual({ reloads: 1, runs: 2 });
});

test.each(['UNREG_CLASS', 'UNKNOWN_HOST', 'UNKNOWN_HOSTID', 'NO_DEVICE'] as const)(
  'so it is after %s: a script may speak to another tracker with each command',
  async (code) => {
    const { run } = unknown({ appears: true, code });
    expect(await run()).toEqual({ found: 1 });
  },
);

test('requests at the same time share one look, and the next comes a second later', async () => {
  const { counts, run } = unknown({ appears: false });
  const refused = { code: 'UNREG_DOMAIN' };
  await Promise.all([run(), run(), run()].map((one) => expect(one).rejects.toMatchObject(refused)));
  expect(counts).toEqual({ reloads: 1, runs: 6 });
  await expect(run()).rejects.toMatchObject(refused);
  expect(counts).toEqual({ reloads: 1, runs: 7 });
  vi.advanceTimersByTime(1_000);
  await expect(run()).rejects.toMatchObject(refused);
  expect(counts.reloads).toBe(2);
});

test('other refusals stand, also those of a database that is away', async () => {
  const failing = new FreshNames(async () => {
    throw new OmgfsError('DB_DOWN');
  });
  const refuse = (code: 'UNREG_CLASS' | 'NO_KEY') =>
    failing.wrap(() => {
      throw new OmgfsError(code);
    })(request);
  await expect(refuse('NO_KEY')).rejects.toMatchObject({ code: 'NO_KEY' });
  await expect(refuse('UNREG_CLASS')).rejects.toMatchObject({ code: 'UNREG_CLASS' });
});
