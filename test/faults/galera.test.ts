/**
 * Goal: trackers on different nodes of a Galera cluster work on one file system: what one answered
 * the other sees, conflicts found at commit are retried, locks and claims hold across nodes, and
 * the death of a node loses nothing that was acknowledged.
 * Method: three real nodes; stores on two of them race; then two trackers serve writers while the
 * node of one is killed.
 */
import { createHash, randomBytes } from 'node:crypto';
import { buffer } from 'node:stream/consumers';
import { startLocalCluster } from '@omgfs/cli';
import { type Client, createClient } from '@omgfs/client';
import type { RowDataPacket } from 'mysql2/promise';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { examineDatabase } from '../../packages/tracker/src/setup/doctor/doctor.ts';
import { openStore, parseDsn } from '../../packages/tracker/src/store/open-store.ts';
import type { Store } from '../../packages/tracker/src/store/store.ts';
import { oldSchema } from '../../packages/tracker/test/setup/old-schema.ts';
import { atOnce, put, storeOptions } from '../../packages/tracker/test/store/fixture.ts';
import { type Galera, startGalera } from '../helpers/galera.ts';
import { connectTo, createDatabaseOn, dsnOf } from '../helpers/mariadb.ts';
import { until } from '../helpers/wait.ts';

let galera: Galera;

beforeAll(async () => {
  galera = await startGalera();
});

afterAll(() => galera.stop());

/** Rows of a statement on the node that lives through all tests. */
async function sqlOn(database: string, text: string): Promise<RowDataPacket[]> {
  const connection = await connectTo({ ...nodeAt(0), user: 'root', password: '' }, database);
  try {
    await connection.query('SET SESSION wsrep_sync_wait = 7');
    const [rows] = await connection.query<RowDataPacket[]>(text);
    return rows;
  } finally {
    connection.destroy();
  }
}

function nodeAt(index: number): Galera['nodes'][number] {
  const node = galera.nodes[index];
  if (node === undefined) throw new Error(`there is no node ${index}`);
  return node;
}

test('the doctor says what a cluster means for trackers of MogileFS', async () => {
  const database = await createDatabaseOn(nodeAt(0));
  for (const sql of oldSchema({ version: 17, fid: 'BIGINT' })) await sqlOn(database, sql);
  const { user, password } = nodeAt(0);
  const findings = await examineDatabase({ dsn: dsnOf(nodeAt(0), database), user, password });
  const found = findings.filter(({ about }) => about === 'galera');
  expect(found).toEqual([
    { level: 'note', about: 'galera', text: expect.stringMatching(/one and the same node/) },
  ]);
});

describe('two stores on different nodes', () => {
  let database: string;
  let stores: [Store, Store];
  let dmid: number;
  const sql = (text: string) => sqlOn(database, text);

  beforeAll(async () => {
    database = await createDatabaseOn(nodeAt(0));
    const open = (index: number) => {
      const { user, password } = nodeAt(index);
      const dsn = parseDsn(dsnOf(nodeAt(index), database), { user, password });
      return openStore(dsn, { ...storeOptions, createSchema: true });
    };
    await until('the other node to have the database', async () => {
      (await connectTo(nodeAt(1), database)).destroy();
      return true;
    });
    // At once, on an empty database.
    stores = await Promise.all([open(0), open(1)]);
    dmid = await stores[0].createDomain('one');
  });

  afterAll(() => Promise.all(stores.map((store) => store.close())));

  const storeOf = (index: number) => stores[index % 2 === 0 ? 0 : 1];

  test('what one has answered the other sees', async () => {
    for (let count = 0; count < 100; count += 1) {
      const dkey = `seen${count}`;
      const fid = await put(storeOf(count), { dmid, dkey });
      expect((await storeOf(count + 1).findFile({ dmid, dkey }))?.fid).toBe(fid);
    }
  });

  test('uploads opened together get the fids of their rows', async () => {
    const opened = await atOnce(200, async (index) => {
      const dkey = `open${index}`;
      const fid = await storeOf(index).openTempfile({ dmid, dkey, classid: 0, devids: [1] });
      return `${fid} ${dkey}`;
    });
    const rows = await sql("SELECT fid, dkey FROM tempfile WHERE dkey LIKE 'open%'");
    expect(rows.map(({ fid, dkey }) => `${fid} ${dkey}`).sort()).toEqual(opened.sort());
  });

  test('overwriting and deleting the same keys is answered rightly', async () => {
    const keys = ['k0', 'k1', 'k2'];
    const fids = await atOnce(90, (index) =>
      put(storeOf(index), { dmid, dkey: keys[index % 3] ?? '' }),
    );
    const list = fids.join(',');
    const current = await sql(`SELECT fid FROM file WHERE fid IN (${list})`);
    expect(current).toHaveLength(keys.length);
    const dropped = await sql(`SELECT fid FROM file_to_delete2 WHERE fid IN (${list})`);
    expect(dropped).toHaveLength(fids.length - keys.length);

    const deleted = await atOnce(12, (index) =>
      storeOf(index).deleteKey({ dmid, dkey: keys[index % 3] ?? '' }),
    );
    expect(deleted.filter((done) => done)).toHaveLength(keys.length);
    expect(await sql(`SELECT fid FROM file_to_delete2 WHERE fid IN (${list})`)).toHaveLength(90);
  });

  test('no row of a queue is claimed twice', async () => {
    await sql('DELETE FROM file_to_replicate');
    const fids = Array.from({ length: 300 }, (_, index) => index + 1);
    await sql(
      `INSERT INTO file_to_replicate (fid, nexttry) VALUES ${fids.map((fid) => `(${fid}, 0)`)}`,
    );
    const claimed: number[] = [];
    const work = async (store: Store) => {
      for (;;) {
        const rows = await store.claimReplications(20);
        if (rows.length === 0) return;
        claimed.push(...rows.map(({ fid }) => fid));
      }
    };
    await Promise.all([0, 1, 2, 3].map((index) => work(storeOf(index))));
    expect(claimed.sort((a, b) => a - b)).toEqual(fids);
  });

  test('a lock is held by one at a time', async () => {
    let inside = 0;
    const seen = await atOnce(30, (index) =>
      storeOf(index).withLock({ name: 'turns', waitMs: 30_000 }, async () => {
        inside += 1;
        const together = inside;
        await new Promise(setImmediate);
        inside -= 1;
        return together;
      }),
    );
    expect(new Set(seen)).toEqual(new Set([1]));
    expect(await sql("SELECT name FROM omg_lease WHERE name = 'turns'")).toEqual([]);
  });

  test('a lease that was not renewed is taken over, another is not', async () => {
    const lease = (name: string, seconds: number) =>
      sql(
        `INSERT INTO omg_lease VALUES ('${name}', REPEAT('x', 16), UNIX_TIMESTAMP() + ${seconds})`,
      );
    await lease('dead', -1);
    await lease('alive', 600);
    const tried = (name: string) => storeOf(1).withLock({ name, waitMs: 0 }, async () => 'mine');
    expect(await tried('dead')).toBe('mine');
    expect(await tried('alive')).toBeUndefined();
  });

  test('a lease is renewed while it is held, and its loss is told', async () => {
    const expiry = async () => {
      const [row] = await sql("SELECT expires FROM omg_lease WHERE name = 'long'");
      return Number(row?.expires);
    };
    await storeOf(0).withLock({ name: 'long', waitMs: 0 }, async (lost) => {
      const first = await expiry();
      await until('the lease to be renewed', async () => (await expiry()) > first);
      expect(lost.aborted).toBe(false);
      await sql("UPDATE omg_lease SET holder = REPEAT('y', 16) WHERE name = 'long'");
      await until('the loss to be noticed', () => lost.aborted);
    });
    // What is somebody else's by now is not given back.
    expect(await expiry()).toBeGreaterThan(0);
  });

  test('a node without quorum says so and works again when it has one; others go on', async () => {
    const isolate = async (on: 0 | 1) => {
      const node = await connectTo({ ...nodeAt(1), user: 'root', password: '' });
      await node.query(`SET GLOBAL wsrep_provider_options = 'gmcast.isolate=${on}'`);
      node.destroy();
    };
    const write = (index: number) => put(storeOf(index), { dmid, dkey: 'quorum' });
    const said = (index: number) =>
      storeOf(index)
        .findFile({ dmid, dkey: 'quorum' })
        .then(
          (file) => String(file?.fid),
          (error: Error) => error.message,
        );
    await write(0);
    await isolate(1);
    try {
      await until('the lack of quorum to be told', async () => {
        return /WSREP.*no quorum/.test(await said(1));
      });
      await expect(write(1)).rejects.toMatchObject({ code: 'DB_DOWN' });
      const after = await until('the others to go on', () => write(0).catch(() => undefined));
      expect(await said(0)).toBe(String(after));
    } finally {
      await isolate(0);
    }
    const last = await until('it to work again', () => write(1).catch(() => undefined));
    expect(await said(0)).toBe(String(last));
  });

  test('a user who may not make the table of leases is told what to do', async () => {
    const bare = await createDatabaseOn(nodeAt(0));
    const { user, password } = nodeAt(0);
    const dsn = parseDsn(dsnOf(nodeAt(0), bare), { user, password });
    await (await openStore(dsn, { ...storeOptions, createSchema: true })).close();
    await sql(`DROP TABLE ${bare}.omg_lease`);
    await sql(`GRANT SELECT, INSERT, UPDATE, DELETE ON ${bare}.* TO bare IDENTIFIED BY 'x'`);
    const poor = parseDsn(dsnOf(nodeAt(0), bare), { user: 'bare', password: 'x' });
    const opened = openStore(poor, { ...storeOptions, createSchema: false });
    await expect(opened).rejects.toThrow(/omg_lease.*Grant CREATE.*CREATE TABLE/s);
  });
});

describe('two trackers on different nodes', () => {
  test('the node of one is killed under load', async () => {
    const database = await createDatabaseOn(nodeAt(0));
    const { user, password } = nodeAt(0);
    await using cluster = await startLocalCluster({
      hosts: 3,
      devicesPerHost: 1,
      domain: 'galera',
      trackers: 2,
      dsn: [dsnOf(nodeAt(0), database), dsnOf(nodeAt(2), database)],
      dbUser: user,
      dbPass: password,
    });
    const clients = cluster.trackers.map((tracker) =>
      createClient({ trackers: [tracker], domain: 'galera' }),
    ) as [Client, Client];
    try {
      const stored = [new Map<string, string>(), new Map<string, string>()] as const;
      const sent = new Set<string>();
      let stopping = false;
      const write = async (writer: number) => {
        const side = writer % 2 === 0 ? 0 : 1;
        for (let count = 0; !stopping; count += 1) {
          // Keys that both sides overwrite, and keys of one writer alone.
          const key = count % 4 === 0 ? `common/${count % 5}` : `own/${writer}/${count}`;
          const body = randomBytes(1 + Math.floor(Math.random() * 20_000));
          sent.add(digestOf(body));
          const done = await clients[side].put(key, body).catch(() => undefined);
          if (done !== undefined) stored[side].set(key, digestOf(body));
        }
      };
      const writers = Array.from({ length: 8 }, (_, writer) => write(writer));
      const more = async (sides: readonly (0 | 1)[], count: number) => {
        const before = stored.map(({ size }) => size);
        await until('both to store files', () =>
          sides.every((side) => stored[side].size > (before[side] ?? 0) + count),
        );
      };
      await more([0, 1], 20);
      await galera.kill(2);
      await more([0], 40);
      stopping = true;
      await Promise.all(writers);
      await expectAllReadable(clients[0], [...stored[0], ...stored[1]], sent);
      await galera.restart(2);
      await until('the tracker to work again', () => clients[1].put('again', randomBytes(100)));
      await expectTwoCopiesEach(database);
    } finally {
      await Promise.all(clients.map((client) => client.close()));
    }
  });
});

function digestOf(body: Buffer): string {
  return createHash('sha256').update(body).digest('hex');
}

/** A key that both sides overwrote has one of the bodies that were sent. */
async function expectAllReadable(
  client: Client,
  stored: readonly (readonly [string, string])[],
  sent: ReadonlySet<string>,
): Promise<void> {
  const waiting = [...stored];
  const reader = async () => {
    for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
      const [key, digest] = next;
      const body = await until(`${key} to be readable`, async () =>
        buffer((await client.get(key)).stream),
      );
      const found = digestOf(body);
      const isRight = key.startsWith('own/') ? found === digest : sent.has(found);
      expect({ key, isRight }).toEqual({ key, isRight: true });
    }
  };
  await Promise.all(Array.from({ length: 8 }, reader));
}

/**
 * A file on which two trackers had worked at once would have a third. What was claimed through the
 * dead node is made due at once, as it is after the lease of a claim; whoever may still work on
 * it has the lock.
 */
async function expectTwoCopiesEach(database: string): Promise<void> {
  await sqlOn(database, 'UPDATE file_to_replicate SET nexttry = 0');
  await until('replication to end', async () => {
    const [row] = await sqlOn(database, 'SELECT COUNT(*) AS waiting FROM file_to_replicate');
    return Number(row?.waiting) === 0;
  });
  const rows = await sqlOn(
    database,
    `SELECT f.fid, COUNT(o.devid) AS copies FROM file f LEFT JOIN file_on o ON o.fid = f.fid
     GROUP BY f.fid HAVING copies <> 2`,
  );
  expect(rows).toEqual([]);
}
