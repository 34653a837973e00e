/**
 * Goal: a fsck is started, stopped, limited and told of as spec §2.5 says, beside trackers of the
 * original (I8), and goes on when the tracker that drove it is gone (I9).
 * Method: the commands and jobs of one or two trackers on one database; a Perl tracker is played by
 * the statements it sends (§3.5–3.7).
 */
import { OmgfsError, type ReplyFields } from '@omgfs/protocol';
import { describe, expect, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { fsckCommands } from '../../src/commands/fsck.ts';
import type { CommandServices } from '../../src/commands/services.ts';
import { engines, startCluster, type TestCluster, type TrackerOptions } from './cluster.ts';
import { foundIn, runFsck, settled } from './fsck-run.ts';

const onlyFsck: TrackerOptions = { settings: { replicateJobs: 0, deleteJobs: 0 } };
const resting: TrackerOptions = { settings: { ...onlyFsck.settings, fsckJobs: 0 } };

type Call = (name: string, args?: Record<string, string>) => Promise<ReplyFields>;

/** Sends commands as a dispatcher would. */
function commandsOf(cluster: TestCluster): Call {
  const services = {
    ...cluster,
    hostname: 'tracker',
    wakeFsck: () => cluster.jobs.wakeFsck(),
  } as unknown as CommandServices;
  const commands = fsckCommands(services);
  return async (name, args = {}) => await commands[name]!({ args, address: '127.0.0.1' });
}

async function codeOf(reply: Promise<unknown>): Promise<string> {
  const error: unknown = await reply.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  return error instanceof OmgfsError ? error.code : `no error: ${String(error)}`;
}

/** Files on one device where two are wanted: each is one finding of POVI and one of REPL. */
async function uploadShort(cluster: TestCluster, count: number, prefix = 'key'): Promise<number[]> {
  const fids: number[] = [];
  for (let number = 0; number < count; number += 1) {
    const key = `${prefix}${number}`;
    fids.push(await cluster.upload({ bytes: key, on: [1], key, replicate: false }));
  }
  return fids;
}

async function settingsOf({ store }: TestCluster): Promise<Record<string, string>> {
  const rows = await store.listSettings();
  return Object.fromEntries(rows.map(({ field, value }) => [field, value]));
}

describe.each(engines)('fsck commands on %s', (engine) => {
  test('a run is started once, not beside a rebalance, and refusals change nothing', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...resting });
    const call = commandsOf(cluster);
    await uploadShort(cluster, 1);
    await cluster.store.setSetting({ field: 'rebal_host', value: 'other' });
    const before = await settingsOf(cluster);
    expect(await codeOf(call('fsck_start'))).toBe('REBAL_RUNNING');
    for (const startpos of ['-1', 'abc', '1e9', '99999999999999999999', '1.5']) {
      expect(await codeOf(call('fsck_reset', { startpos }))).toBe('BAD_PARAMS');
    }
    expect(await codeOf(call('fsck_reset', { domain: 'nobody' }))).toBe('UNREG_DOMAIN');
    expect(await codeOf(call('fsck_reset', { class: 'originals' }))).toBe('NO_DOMAIN');
    expect(await codeOf(call('fsck_reset', { prefix: 'x' }))).toBe('NO_DOMAIN');
    expect(await codeOf(call('fsck_reset', { domain: 'photos', class: 'x' }))).toBe('UNREG_CLASS');
    expect(await codeOf(call('fsck_reset', { domain: 'photos', prefix: 'x'.repeat(256) }))).toBe(
      'KEY_TOO_LONG',
    );
    expect(await settingsOf(cluster)).toEqual(before);
    await cluster.store.setSetting({ field: 'rebal_host', value: undefined });
    await call('fsck_start');
    const running = await settingsOf(cluster);
    expect(running.fsck_host).toBe('tracker');
    expect(await codeOf(call('fsck_start'))).toBe('FSCK_RUNNING');
    expect(await settingsOf(cluster)).toEqual(running);
    await call('fsck_stop');
    expect(await call('fsck_status')).toMatchObject({ running: 0, host: '' });
    await call('fsck_stop');
  });

  test('two trackers that start a run at the same moment: one is refused', async () => {
    const cluster = await startCluster({ engine, hosts: 1, ...resting });
    const another = await cluster.anotherTracker(resting);
    const codes = await Promise.all([
      codeOf(cluster.store.fsck.start('a')),
      codeOf(another.store.fsck.start('b')),
    ]);
    expect(codes.toSorted()).toEqual(['FSCK_RUNNING', 'no error: undefined']);
  });

  test('status, log and counters; the log can be cleared meanwhile', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...onlyFsck });
    const call = commandsOf(cluster);
    const fids = await uploadShort(cluster, 60);
    const [fid = 0] = fids;
    await runFsck(cluster);
    const status = await call('fsck_status');
    expect(status).toMatchObject({ running: 0, num_POVI: 60, num_REPL: 60, checked: 60 });
    expect(status.max_fid_checked).toBe(status.end_fid);
    // It rested for an hour, which is no part of its rate.
    await cluster.sql(
      "UPDATE server_settings SET value = value + 3600 WHERE field = 'fsck_stop_time'",
    );
    expect(Number((await call('fsck_status')).rate)).toBeGreaterThan(1);
    const page = await call('fsck_getlog');
    expect(page).toMatchObject({ row_count: 100, row_1_evcode: 'POVI' });
    expect(fids).toContain(page.row_1_fid);
    expect(page).not.toHaveProperty('row_1_devid');
    const rest = await call('fsck_getlog', { after_logid: String(page.row_100_logid) });
    expect(rest).toMatchObject({ row_count: 20, row_20_logid: status.max_logid });
    expect(await call('fsck_getlog', { after_logid: '-3' })).toMatchObject({ row_count: 100 });
    await call('fsck_clearlog');
    expect(await call('fsck_getlog')).toEqual({ row_count: 0 });
    expect(await call('fsck_status')).toMatchObject({ num_POVI: 60, max_logid: 0 });
    // What is found after that is counted too.
    await cluster.store.fsck.enqueue([fid]);
    cluster.jobs.wakeFsck();
    await settled(cluster);
    expect(await call('fsck_status')).toMatchObject({ num_POVI: 61, num_REPL: 61 });
    await call('fsck_reset');
    expect(await call('fsck_status')).not.toHaveProperty('num_POVI');
  });

  test('a start behind the end never shows more than all of it', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...onlyFsck });
    const call = commandsOf(cluster);
    await uploadShort(cluster, 1);
    await call('fsck_reset', { startpos: '5000' });
    expect(await call('fsck_status')).toMatchObject({ max_fid_checked: 5000, end_fid: 5000 });
    await call('fsck_start');
    await settled(cluster);
    expect(await foundIn(cluster)).toEqual([]);
  });

  test('after a complete run only newer files are looked at, until a reset', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...onlyFsck });
    const call = commandsOf(cluster);
    await uploadShort(cluster, 2, 'old');
    await runFsck(cluster);
    const [fid] = await uploadShort(cluster, 1, 'new');
    await cluster.store.fsck.clearLog();
    await call('fsck_start');
    await settled(cluster);
    const rows = await cluster.store.fsck.log({ after: 0, limit: 10 });
    expect(rows.map((row) => row.fid)).toEqual([fid, fid]);
  });

  test('limits: a domain, a class, a prefix; the next reset forgets them', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...onlyFsck });
    const call = commandsOf(cluster);
    const { store, dmid } = cluster;
    const classid = await store.createClass({ dmid, name: 'thumbs', mindevcount: 2 });
    const other = await store.createDomain('music');
    const upload = (key: string, place: { dmid: number; classid: number }) => {
      return cluster.upload({ bytes: 'x', on: [1], key, replicate: false, ...place });
    };
    const thumb = await upload('a/1', { dmid, classid });
    const original = await upload('a/2', { dmid, classid: cluster.classid });
    const apart = await upload('A%b', { dmid, classid: cluster.classid });
    const song = await upload('a/1', { dmid: other, classid: 0 });
    await cluster.jobs.monitor.refresh();
    const found = async (args: Record<string, string>) => {
      await call('fsck_reset', args);
      await store.fsck.clearLog();
      await call('fsck_start');
      await settled(cluster);
      const rows = await store.fsck.log({ after: 0, limit: 100 });
      return [...new Set(rows.map((row) => row.fid))].toSorted();
    };
    expect(await found({ domain: 'music' })).toEqual([song]);
    expect(await found({ domain: 'photos', class: 'thumbs' })).toEqual([thumb]);
    expect(await found({ domain: 'photos', prefix: 'a/' })).toEqual([thumb, original]);
    expect(await call('fsck_status')).toMatchObject({ limit_domain: 'photos', limit_prefix: 'a/' });
    expect(await found({ domain: 'photos', prefix: 'A%' })).toEqual([apart]);
    expect(await found({})).toEqual([thumb, original, apart, song]);
    expect(await call('fsck_status')).not.toHaveProperty('limit_domain');
  });

  test('it passes over many files of others, and over rows of files that are gone', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...onlyFsck });
    const { store, dmid, classid } = cluster;
    const [before = 0] = await uploadShort(cluster, 1, 'wanted');
    // More than a limited run passes over at once, and more replicas than one page.
    const many = Array.from({ length: 60_000 }, (_, index) => before + 1 + index);
    const file = (fid: number, key: string) => `(${fid}, ${dmid}, '${key}', 0, ${classid}, 2)`;
    const rows = many.map((fid) => file(fid, `other/${fid}`));
    await cluster.sql(
      `INSERT INTO file (fid, dmid, dkey, length, classid, devcount) VALUES ${rows.join()}`,
    );
    const places = many.flatMap((fid) => [`(${fid}, 1)`, `(${fid}, 2)`]);
    await cluster.sql(`INSERT INTO file_on (fid, devid) VALUES ${places.join()}`);
    const [last = 0] = await uploadShort(cluster, 1, 'wanted/last');
    const found = async () => {
      const log = await store.fsck.log({ after: 0, limit: 100 });
      const fids = log.filter(({ evcode }) => evcode === 'POVI').map(({ fid }) => fid);
      await store.fsck.clearLog();
      return fids.toSorted((a, b) => Number(a) - Number(b));
    };
    await runFsck(cluster, { policyOnly: true, limits: { dmid, prefix: 'wanted' } });
    expect(await store.fsck.state()).toMatchObject({ checked: 2, position: last });
    expect(await found()).toEqual([before, last]);
    await runFsck(cluster, { policyOnly: true });
    expect(await store.fsck.state()).toMatchObject({ checked: many.length + 2 });
    expect(await found()).toEqual([before, last]);
    await cluster.sql(`DELETE FROM file WHERE fid > ${before} AND fid < ${last}`);
    await runFsck(cluster, { policyOnly: true });
    expect(await store.fsck.state()).toMatchObject({ checked: 2 });
    expect(await found()).toEqual([before, last]);
  });

  test('a reset while it runs sends it back; the log can be cleared meanwhile', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...onlyFsck });
    const call = commandsOf(cluster);
    await uploadShort(cluster, 30);
    const rate = (value: string | undefined) =>
      cluster.store.setSetting({ field: 'queue_rate_for_fsck', value });
    await rate('3');
    await call('fsck_reset');
    await call('fsck_start');
    await until('some were looked at', async () => {
      return (await cluster.store.fsck.state()).checked >= 3;
    });
    await call('fsck_clearlog');
    await call('fsck_reset', { startpos: '2' });
    expect(await call('fsck_status')).toMatchObject({ running: 1 });
    await rate(undefined);
    await settled(cluster);
    const { position, end, checked } = await cluster.store.fsck.state();
    expect({ position, checked }).toEqual({ position: end, checked: 28 });
  });

  test('a run rests and goes on where it was; later files are not reached', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...onlyFsck });
    const call = commandsOf(cluster);
    await uploadShort(cluster, 30);
    for (const field of ['queue_rate_for_fsck', 'queue_size_for_fsck']) {
      await cluster.store.setSetting({ field, value: '1' });
    }
    await call('fsck_reset');
    await call('fsck_start');
    await until('some were looked at', async () => {
      return (await cluster.store.fsck.state()).checked >= 1;
    });
    await call('fsck_stop');
    await cluster.logged('fsck.left');
    const { position, end } = await cluster.store.fsck.state();
    expect(position).toBeLessThan(end);
    await uploadShort(cluster, 1, 'later');
    for (const field of ['queue_rate_for_fsck', 'queue_size_for_fsck']) {
      await cluster.store.setSetting({ field, value: undefined });
    }
    await call('fsck_start');
    await settled(cluster);
    // Each once, none twice, and not the one that came later.
    expect(await call('fsck_status')).toMatchObject({ num_POVI: 30, end_fid: end });
  });
});

describe.each(engines)('fsck of several trackers on %s', (engine) => {
  test('I8: two trackers share the work, and each finding is logged once', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...onlyFsck });
    const another = await cluster.anotherTracker(onlyFsck);
    await uploadShort(cluster, 120);
    another.jobs.wakeFsck();
    await runFsck(cluster);
    const rows = await cluster.store.fsck.log({ after: 0, limit: 1000 });
    const povi = rows.filter(({ evcode }) => evcode === 'POVI').map((row) => row.fid);
    expect(povi.length).toBe(120);
    expect(new Set(povi).size).toBe(120);
    expect((await cluster.store.fsck.state()).checked).toBe(120);
  });

  test('a claim of checks leaves the same fid’s row of a rebalance alone', async () => {
    const cluster = await startCluster({ engine, hosts: 1, ...resting });
    const values = '(5, 1, 0, 0, 0), (5, 2, 0, 0, 0)';
    await cluster.sql(
      `INSERT INTO file_to_queue (fid, type, nexttry, failcount, flags) VALUES ${values}`,
    );
    expect(await cluster.store.fsck.claim(10, 1000)).toMatchObject([{ fid: 5 }]);
    const { fsck, rebalance } = await cluster.store.fidRecords(5);
    expect(fsck?.nexttry).toBeGreaterThan(Date.now() / 1000 + 900);
    expect(rebalance?.nexttry).toBe(0);
    expect(await cluster.store.fsck.claim(10, 1000)).toEqual([]);
  });

  test('I9: a run whose tracker vanished is taken over, position and counters kept', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...resting });
    const fids = await uploadShort(cluster, 20);
    const { fsck } = cluster.store;
    await fsck.reset({ policyOnly: false, position: 0, limits: {} });
    await fsck.start('gone');
    const owner = 'gone:1';
    expect(await fsck.lease({ owner, host: 'gone', abandoned: false })).toBe(true);
    const half = fids[9] ?? 0;
    const step = { owner, from: 0, to: half, checked: 10, activeMs: 1, miscounted: [], waits: [] };
    expect(await fsck.advance(step)).toBe(true);
    // While its lease lasts nobody else drives the run.
    const request = { owner: 'tracker:2', host: 'tracker', abandoned: true };
    expect(await fsck.lease(request)).toBe(false);
    expect(await fsck.advance({ ...step, owner: 'tracker:2', from: half })).toBe(false);
    await cluster.store.setSetting({ field: 'omg_fsck_lease', value: `1 ${owner} gone` });
    cluster.jobs.want('fsck', 1);
    await settled(cluster);
    expect(await fsck.state()).toMatchObject({ checked: 20, host: undefined });
    expect((await fsck.counts()).byCode.get('POVI')).toBe(10);
    // What the lost one still tries is refused.
    expect(await fsck.advance({ ...step, from: half })).toBe(false);
    expect(await fsck.lease({ owner, host: 'gone', abandoned: false })).toBe(false);
  });

  test('I8: a run of a Perl tracker is left to it, its rows are worked off', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...onlyFsck });
    const [first = 0, second = 0] = await uploadShort(cluster, 2);
    for (const [field, value] of [
      ['fsck_fid_at_end', String(second)],
      ['fsck_highest_fid_checked', String(first)],
      ['fsck_start_time', '1'],
      ['fsck_host', 'perl'],
    ] as const) {
      await cluster.store.setSetting({ field, value });
    }
    await cluster.sql(`INSERT INTO file_to_queue (fid, type, nexttry) VALUES (${first}, 1, 1000)`);
    cluster.jobs.wakeFsck();
    await until('its row is done', async () => {
      return (await cluster.store.fidRecords(first)).fsck === undefined;
    });
    expect(await foundIn(cluster)).toEqual(['POVI', 'REPL']);
    expect(await cluster.store.fsck.state()).toMatchObject({ host: 'perl', position: first });
    // It stands still: another tracker, less patient, takes the run over.
    const settings = { ...onlyFsck.settings, fsckAbandonedMs: 0, hostname: 'other' };
    await cluster.anotherTracker({ settings });
    await settled(cluster);
    expect(await foundIn(cluster, second)).toEqual(['POVI', 'REPL']);
    expect(await cluster.store.fsck.state()).toMatchObject({ position: second });
  });

  test('a reset by a Perl tracker drops limits it knows nothing of', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...resting });
    await uploadShort(cluster, 1);
    const limits = { dmid: cluster.dmid, prefix: 'nothing' };
    await cluster.store.fsck.reset({ policyOnly: false, position: 0, limits });
    expect((await cluster.store.fsck.state()).limits).toEqual(limits);
    const [fid = 0] = await uploadShort(cluster, 1, 'more');
    await cluster.store.setSetting({ field: 'fsck_fid_at_end', value: String(fid) });
    expect((await cluster.store.fsck.state()).limits).toEqual({});
  });

  test('a log that a Perl tracker truncated is counted from its new beginning', async () => {
    const cluster = await startCluster({ engine, hosts: 2, ...resting });
    const { fsck } = cluster.store;
    const log = (rows: number) =>
      cluster.sql(
        `INSERT INTO fsck_log (utime, fid, evcode) VALUES ${Array(rows).fill("(1, 1, 'BCNT')")}`,
      );
    await log(20);
    await fsck.reset({ policyOnly: false, position: 0, limits: {} });
    await log(5);
    expect((await fsck.counts()).byCode.get('BCNT')).toBe(5);
    await cluster.sql('DELETE FROM fsck_log');
    await cluster.sql("INSERT INTO fsck_log (logid, utime, fid, evcode) VALUES (1, 1, 1, 'BCNT')");
    expect((await fsck.counts()).byCode.get('BCNT')).toBe(6);
    expect((await fsck.counts()).byCode.get('BCNT')).toBe(6);
  });
});
