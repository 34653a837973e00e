/**
 * Goal: trackers of ours and of MogileFS work on one database at the same time (I8): no work is
 * done twice, no fid is given twice, nothing that one stores is lost to the other.
 * Method: a real tracker of ours on MariaDB beside a stand-in that talks to the database exactly as
 * the original does.
 */
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createDatabaseOn, dsnOf } from '../helpers/mariadb.ts';
import { PerlStandIn } from '../helpers/perl-stand-in.ts';
import { getBody, RawClient, storeRaw } from '../helpers/raw-client.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

const domain = 'shared';
let cluster: LocalCluster;
let client: RawClient;
let perl: PerlStandIn;
let dmid: number;

beforeAll(async () => {
  const server = sharedServer();
  const name = await createDatabaseOn(server);
  cluster = await startLocalCluster({
    hosts: 2,
    devicesPerHost: 1,
    domain,
    dsn: dsnOf(server, name),
    dbUser: server.user,
    dbPass: server.password,
  });
  client = new RawClient(cluster.trackers[0] ?? '');
  perl = await PerlStandIn.connect(server, name);
  dmid = Number(
    (await perl.rows('SELECT dmid FROM domain WHERE namespace = ?', [domain]))[0]?.dmid,
  );
});
afterAll(async () => {
  await perl?.end();
  await client?.close();
  await cluster?.stop();
});

/** Sets how many replications of ours run at once. */
async function want(count: number): Promise<void> {
  await client.admin(`!want ${count} replicate`);
}

async function read(key: string): Promise<string | undefined> {
  const { path1 } = await client.call('get_paths', { domain, key });
  return path1 === undefined ? undefined : String((await getBody(path1)).body);
}

async function copiesOf(fid: number): Promise<number> {
  const [row] = await perl.rows('SELECT COUNT(*) AS n FROM file_on WHERE fid = ?', [fid]);
  return Number(row?.n);
}

function untilCopied(fid: number): Promise<unknown> {
  return until(`two copies of ${fid}`, async () => (await copiesOf(fid)) === 2);
}

test('what it stores is replicated and deleted by ours, and the other way round', async () => {
  const fid = await perl.store({ dmid, key: 'theirs', devid: 1, body: 'by perl' });
  expect(await read('theirs')).toBe('by perl');
  await untilCopied(fid);
  expect(await client.code('delete', { domain, key: 'theirs' })).toBe('OK');
  await until('its replicas are gone', async () => (await copiesOf(fid)) === 0);

  const ours = await storeRaw(client, { domain, key: 'ours', body: 'by us' });
  await perl.delete({ dmid, key: 'ours' });
  expect(await client.code('get_paths', { domain, key: 'ours' })).toBe('unknown_key');
  await until('ours are gone', async () => (await copiesOf(Number(ours.fid))) === 0);
});

test('fids are never given twice', async () => {
  const theirs = Array.from({ length: 150 }, (_, n) =>
    perl.openTempfile({ dmid, key: `t${n}`, devid: 1 }),
  );
  const clients = Array.from({ length: 8 }, () => new RawClient(cluster.trackers[0] ?? ''));
  const ours = clients.map(async (one) => {
    const fids = [];
    for (let n = 0; n < 25; n += 1) {
      fids.push(Number((await one.call('create_open', { domain, key: 'o' })).fid));
    }
    await one.close();
    return fids;
  });
  const all = [...(await Promise.all(theirs)), ...(await Promise.all(ours)).flat()];
  expect(new Set(all).size).toBe(350);
  await perl.run('DELETE FROM tempfile');
});

test('both overwrite one key: a reader gets a whole version', async () => {
  const bodies = new Set<string>();
  const body = (who: string, n: number) => {
    const text = `${who} ${n} `.repeat(n + 1);
    bodies.add(text);
    return text;
  };
  const theirs = async () => {
    for (let n = 0; n < 20; n += 1) {
      await perl.store({ dmid, key: 'hot', devid: 1, body: body('perl', n) });
    }
  };
  const ours = async () => {
    for (let n = 0; n < 20; n += 1) {
      await storeRaw(client, { domain, key: 'hot', body: body('us', n) });
      // The original has a gap between two versions (spec §2.6), so there may be none.
      const seen = await client.code('get_paths', { domain, key: 'hot' });
      expect(['OK', 'unknown_key']).toContain(seen);
    }
  };
  await Promise.all([theirs(), ours()]);
  expect(bodies).toContain(await read('hot'));
});

test('what it has claimed is left to it, until its claim is over', async () => {
  await want(0);
  const fids: number[] = [];
  for (let n = 0; n < 20; n += 1) {
    fids.push(await perl.store({ dmid, key: `claim${n}`, devid: 1, body: 'x' }));
  }
  const claimed = (await perl.grab('file_to_replicate', 8)).filter((fid) => fids.includes(fid));
  expect(claimed.length).toBe(8);
  await want(5);
  for (const fid of fids) if (!claimed.includes(fid)) await untilCopied(fid);
  for (const fid of claimed) expect(await copiesOf(fid)).toBe(1);
  // It died: its claims run out, as after 1000 seconds.
  await perl.run('UPDATE file_to_replicate SET nexttry = UNIX_TIMESTAMP() WHERE fid IN (?)', [
    claimed,
  ]);
  for (const fid of claimed) await untilCopied(fid);
});

test('what ours has claimed is not grabbed by it', async () => {
  await want(5);
  const stored = Array.from({ length: 60 }, (_, n) => `race${n}`);
  const fids = new Map<number, string>();
  for (const key of stored) fids.set(await perl.store({ dmid, key, devid: 1, body: key }), key);
  const theirs: number[] = [];
  for (let grabbed = [0]; grabbed.length > 0; ) {
    grabbed = await perl.grab('file_to_replicate', 5);
    theirs.push(...grabbed);
  }
  // Every file went to one of the two: those it has are as they were, the others get copied.
  for (const fid of fids.keys()) {
    if (theirs.includes(fid)) expect(await copiesOf(fid)).toBe(1);
    else await untilCopied(fid);
  }
});

test.each([
  ['the lock of a file', (fid: number) => `mgfs:fid:${fid}:replicate`],
  ['the lock of the queue', () => 'mfsd:file_to_replicate'],
])('%s keeps ours waiting', async (_, nameOf) => {
  await want(0);
  const key = `locked${nameOf(1)}`;
  const fid = await perl.store({ dmid, key, devid: 1, body: 'x' });
  const marker = await perl.store({ dmid, key: `${key}2`, devid: 1, body: 'y' });
  expect(await perl.lock(nameOf(fid), 100)).toBe(true);
  await want(5);
  if (nameOf(1) === nameOf(2)) {
    // Nothing can be claimed, so nothing is copied while the tracker looks at other things.
    await client.call('do_monitor_round');
    await client.call('do_monitor_round');
    expect(await copiesOf(marker)).toBe(1);
  } else {
    await untilCopied(marker);
  }
  expect(await copiesOf(fid)).toBe(1);
  await perl.unlock(nameOf(fid));
  await client.call('replicate_now');
  await untilCopied(fid);
  await untilCopied(marker);
});

test('what it changes in the tables of the cluster is noticed', async () => {
  await perl.run('INSERT INTO domain SET dmid = 77, namespace = ?', ['by-perl']);
  await perl.run('INSERT INTO class SET dmid = 77, classid = 1, classname = ?, mindevcount = 1', [
    'single',
  ]);
  await until('the domain is known', async () => {
    const code = await client.code('create_open', { domain: 'by-perl', class: 'single' });
    return code === 'OK';
  });
  await perl.run("UPDATE device SET status = 'drain' WHERE devid = 2");
  await until('the device is seen to drain', async () => {
    return (await client.call('get_devices', { devid: 2 })).dev1_status === 'drain';
  });
  await perl.run("UPDATE device SET status = 'alive' WHERE devid = 2");
});

test('of a tracker of ours nothing but tables of its own is left in the schema', async () => {
  const rows = await perl.rows('SHOW TABLES');
  const names = rows.flatMap((row) => Object.values(row) as string[]);
  const original = [
    ...['checksum', 'class', 'device', 'domain', 'file', 'file_on', 'file_on_corrupt'],
    ...['file_to_delete', 'file_to_delete2', 'file_to_delete_later', 'file_to_queue'],
    ...['file_to_replicate', 'fsck_log', 'host', 'server_settings', 'tempfile'],
    'unreachable_fids',
  ];
  expect(names.filter((name) => !name.startsWith('omg_')).sort()).toEqual(original);
});
