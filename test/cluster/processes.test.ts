/**
 * Goal: a tracker of several processes behaves as one: what one process is told, all know; `!`
 * commands count over all; any process may die (I1, I4).
 * Method: real processes on MariaDB, killed with SIGKILL, found by their pids in `!jobs`.
 */
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, afterEach, beforeAll, expect, onTestFinished, test } from 'vitest';
import { connectTo, createDatabaseOn, dsnOf } from '../helpers/mariadb.ts';
import { freePort } from '../helpers/ports.ts';
import { RawClient, storeRaw } from '../helpers/raw-client.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

const queryProcesses = 2;
const domain = 'many';
let cluster: LocalCluster;
let database: string;
const clients: RawClient[] = [];

beforeAll(async () => {
  const server = sharedServer();
  database = await createDatabaseOn(server);
  cluster = await startLocalCluster({
    hosts: 2,
    devicesPerHost: 1,
    domain,
    dsn: dsnOf(server, database),
    dbUser: server.user,
    dbPass: server.password,
    extraTrackerArgs: ['--query_processes', String(queryProcesses)],
    // The HTTP API gets the free one, which it has again after a restart.
    portBase: (await freePort()) - 101,
  });
});
afterAll(() => cluster?.stop());
afterEach(async () => {
  for (const client of clients.splice(0)) await client.close();
});

function dial(): RawClient {
  const client = new RawClient(cluster.trackers[0] ?? '');
  clients.push(client);
  return client;
}

/** One client on every query process: connections are handed out in turn. */
async function dialAll(): Promise<RawClient[]> {
  const all = Array.from({ length: queryProcesses }, dial);
  for (const client of all) expect(await client.ask('noop\r\n')).toBe('OK \r\n');
  return all;
}

async function pidsOf(job: string): Promise<number[]> {
  const lines = await dial().admin('!jobs');
  const pids = lines.find((line) => line.startsWith(`${job} pids `)) ?? '';
  return (pids.match(/\d+/g) ?? []).map(Number);
}

/** Kills a query process; the others stay, and need no time to start. @returns its pid. */
async function killOne(pids?: readonly number[]): Promise<number> {
  const all = await pidsOf('queryworker');
  const victim = all.find((pid) => pids?.includes(pid) ?? true);
  if (victim === undefined) throw new Error('no query process is up');
  process.kill(victim, 'SIGKILL');
  await until('it is gone', () => !isAlive(victim));
  return victim;
}

async function counter(name: string): Promise<number> {
  const lines = await dial().admin('!stats');
  return Number(lines.find((line) => line.startsWith(`${name} `))?.split(' ')[1] ?? 0);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('what one process is told, the others know with the next request', async () => {
  const [one, other] = (await dialAll()) as [RawClient, RawClient];
  for (let i = 0; i < 20; i += 1) {
    await one.call('create_class', { domain, class: `c${i}`, mindevcount: 1 });
    expect(await other.code('create_open', { domain, key: 'k', class: `c${i}` })).toBe('OK');
  }
});

test('a close in a query process wakes the replicator in the jobs process', async () => {
  const [one, other] = (await dialAll()) as [RawClient, RawClient];
  await storeRaw(one, { domain, key: 'copied', body: 'twice' });
  await until('the second copy', async () => {
    return (await other.call('file_info', { domain, key: 'copied' })).devcount === '2';
  });
  expect(await counter('work_sent_to_replicate')).toBeGreaterThan(0);
});

test('I4: ! commands speak for all processes', async () => {
  const before = await counter('queries');
  for (const client of await dialAll()) {
    for (let i = 0; i < 50; i += 1) client.write(`noop callid=r${i}\r\n`);
    for (let i = 0; i < 50; i += 1) expect(await client.line()).toBe(`OK callid=r${i}\r\n`);
  }
  expect(await counter('queries')).toBe(before + queryProcesses * 51);
  const recent = await dial().admin('!recent');
  expect(recent.length).toBe(50);
  expect(await pidsOf('queryworker')).toHaveLength(queryProcesses);

  expect(await dial().admin('!want 3 replicate')).toEqual([
    "Now desiring 3 children doing 'replicate'.\r\n",
  ]);
  await until('the jobs process to follow', async () => {
    return (await dial().admin('!jobs')).includes('replicate desired 3\r\n');
  });
});

test('!watch shows the log of every process', async () => {
  const watcher = dial();
  expect(await watcher.admin('!watch')).toEqual(['Added you to watcher list.\r\n']);
  await cluster.hosts[1]?.stop();
  expect(await watcher.line()).toMatch(/^:: \[[a-z_]+\(\d+\)\] /);
  await cluster.hosts[1]?.start();
  const check = dial();
  await until('both devices to be writeable', async () => {
    await check.call('clear_cache');
    const { dev1_observed_state: one, dev2_observed_state: other } =
      await check.call('get_devices');
    return one === 'writeable' && other === 'writeable';
  });
});

test('a query process that is killed: clients notice nothing, counters stay', async () => {
  const before = await counter('queries');
  const all = await dialAll();
  for (const client of all) {
    for (let i = 0; i < 20; i += 1) await client.ask('noop\r\n');
  }
  const counted = before + queryProcesses * 21;
  // A survey tells the front the counters as they stand, and comes after a turn of each process.
  expect(await counter('queries')).toBeGreaterThanOrEqual(counted);
  const victim = await killOne();
  for (const client of all) expect(await client.ask('noop\r\n')).toBe('OK \r\n');
  expect(await untilComplete()).not.toContain(victim);
  expect(await counter('queries')).toBeGreaterThanOrEqual(counted);
});

/** All are up, so that clients are spread over all. */
async function untilComplete(): Promise<number[]> {
  return until('all query processes to be up', async () => {
    const pids = await pidsOf('queryworker');
    if (pids.length < queryProcesses) return undefined;
    // They answer only when their database is open.
    for (const client of await dialAll()) expect(await client.code('get_domains')).toBe('OK');
    return pids;
  });
}

async function inWork(count: number): Promise<void> {
  await until('the requests to be in work', async () => {
    return (await dial().admin('!stats')).includes(`processing_queries ${count}\r\n`);
  });
}

/** Lookups wait until the lock is released; the start of a process does not. */
async function holdUpLookups(): Promise<() => void> {
  const connection = await connectTo(sharedServer(), database);
  await connection.query('LOCK TABLES file_on WRITE');
  const release = () => connection.destroy();
  // A test that fails must not hold up the others.
  onTestFinished(release);
  return release;
}

/** So many lines of each. */
function linesOf(clients: readonly RawClient[], count: number): Promise<(string | undefined)[][]> {
  return Promise.all(
    clients.map(async (client) => {
      const lines = [];
      for (let i = 0; i < count; i += 1) lines.push(await client.line());
      return lines;
    }),
  );
}

test('I4: what a killed query process owed is answered, in order', async () => {
  await untilComplete();
  const release = await holdUpLookups();
  // Of each two, one is on the process that dies.
  const writes = await dialAll();
  const reads = await dialAll();
  const longs = await dialAll();
  const admins = await dialAll();
  const key = `domain=${domain}&key=none`;
  const update = (callid: string) => `updateclass ${key}&class=default&callid=${callid}\r\n`;
  for (const client of writes) client.write(`${update('w')}\r\nnoop\r\nnoop callid=1\r\nno`);
  for (const client of reads) client.write(`file_info ${key}&callid=r\r\nnoop callid=next\r\n`);
  const long = `file_info ${key}&callid=l&x=${'x'.repeat(500)}\r\nnoop\r\nno`;
  for (const client of longs) client.write(long);
  // The answer to an admin command has another form, so its connection cannot go on.
  for (const client of admins) client.write(`${update('a')}!version\r\n`);
  await inWork(8);
  await killOne();
  release();

  const failure = expect.stringMatching(/^ERR failure \S+\r\n$/);
  const unknown = (callid: string) => `ERR unknown_key unknown_key ${callid}\r\n`;
  // Nobody knows whether the first was executed; what came behind it was not.
  const behind = ['OK \r\n', 'OK callid=1\r\n'];
  expect((await linesOf(writes, 3)).sort()).toEqual([
    [failure, ...behind],
    ['ERR invalid_key invalid_key w\r\n', ...behind],
  ]);
  for (const client of writes) expect(await client.ask('op callid=2\r\n')).toBe('OK callid=2\r\n');
  // What only reads is executed again.
  const read = [unknown('r'), 'OK callid=next\r\n'];
  expect(await linesOf(reads, 2)).toEqual([read, read]);
  // Of long requests the words are not known.
  for (const client of longs) client.write('op callid=cut\r\nnoop callid=whole\r\n');
  expect((await linesOf(longs, 4)).sort()).toEqual([
    [failure, failure, failure, 'OK callid=whole\r\n'],
    [unknown('l'), 'OK \r\n', 'OK callid=cut\r\n', 'OK callid=whole\r\n'],
  ]);
  expect(await linesOf(admins, 3)).toEqual(
    expect.arrayContaining([
      [undefined, undefined, undefined],
      ['ERR invalid_key invalid_key a\r\n', '2.73\r\n', '.\r\n'],
    ]),
  );
});

test('a request that two processes did not survive is not tried a third time', async () => {
  const old = await untilComplete();
  const release = await holdUpLookups();
  const clients = await dialAll();
  for (const client of clients) {
    client.write(`file_info domain=${domain}&key=none\r\nnoop callid=next\r\n`);
  }
  await inWork(2);
  const victim = await killOne(old);
  // Both are on the process that is left.
  await inWork(2);
  await killOne(old.filter((pid) => pid !== victim));
  // The other is executed again, and held up.
  const lines = await Promise.race(clients.map((client) => linesOf([client], 2)));
  expect(lines.flat()).toEqual(Array(2).fill(expect.stringMatching(/^ERR failure \S+\r\n$/)));
  release();
});

test('I4: killed again and again, no client gets a reply of another request', async () => {
  let stopped = false;
  const outcomes = { answered: 0, failed: 0, closed: 0 };
  const work = Array.from({ length: 8 }, async (_, caller) => {
    let client = dial();
    for (let i = 0; !stopped; i += 1) {
      const callids = Array.from({ length: 1 + (i % 3) }, (__, n) => `${caller}.${i}.${n}`);
      client.write(
        callids.map((id) => `file_info domain=${domain}&key=none&callid=${id}\r\n`).join(''),
      );
      for (const id of callids) {
        const line = await client.line();
        if (line === undefined) {
          outcomes.closed += 1;
          client = dial();
          break;
        }
        // An error for the death of the process knows no callid.
        if (/^ERR failure \S+\r\n$/.test(line)) outcomes.failed += 1;
        else expect(line).toBe(`ERR unknown_key unknown_key ${id}\r\n`);
        outcomes.answered += 1;
      }
    }
  });
  const load = Promise.all(work);
  load.catch(() => {});
  for (let round = 0; round < 3; round += 1) {
    const answered = outcomes.answered;
    await until('some answers', () => outcomes.answered > answered + 50);
    await killOne();
  }
  stopped = true;
  await load;
  await untilComplete();
});

test('a jobs process that is killed comes back with what was wanted', async () => {
  await dial().admin('!want 5 delete');
  const [victim] = await pidsOf('replicate');
  process.kill(victim ?? 0, 'SIGKILL');
  expect(await dial().code('get_domains')).toBe('OK');
  await until('another to take its place', async () => {
    const [pid] = await pidsOf('replicate');
    return pid !== undefined && pid !== victim;
  });
  // Waits for the new process by itself.
  expect(await dial().code('create_domain', { domain: 'after' })).toBe('OK');
  await until('the wish to be repeated', async () => {
    return (await dial().admin('!jobs')).includes('delete desired 5\r\n');
  });
  const client = dial();
  await storeRaw(client, { domain, key: 'later', body: 'twice' });
  await until('the second copy', async () => {
    return (await client.call('file_info', { domain, key: 'later' })).devcount === '2';
  });
});

test('the HTTP API has a process of its own, which comes back when it is killed', async () => {
  const api = cluster.apis[0] ?? '';
  const processes = async () => {
    const text = await fetch(`${api}/metrics`).then(
      (answer) => answer.text(),
      () => '',
    );
    const found = text.matchAll(/^omgfs_resident_bytes\{process="(\w+)",pid="(\d+)"\}/gm);
    return new Map([...found].map(([, name, pid]) => [name, Number(pid)]));
  };
  const create = (name: string) =>
    fetch(`${api}/v1/domains`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ domain: name }),
    });
  const before = await processes();
  expect([...before.keys()].sort()).toEqual(['http', 'jobs', 'query']);
  expect((await create('by-http')).status).toBe(201);
  for (const client of await dialAll()) {
    expect(await client.code('create_open', { domain: 'by-http', key: 'k' })).toBe('OK');
  }
  const put = (key: string) => fetch(`${api}/files/${domain}/${key}`, { method: 'PUT', body: key });
  expect((await put('bytes')).status).toBe(201);
  process.kill(before.get('http') ?? 0, 'SIGKILL');
  const after = await until('another to take its place', async () => {
    const found = await processes();
    return found.has('http') && found.get('http') !== before.get('http') ? found : undefined;
  });
  expect(after.get('jobs')).toBe(before.get('jobs'));
  expect((await put('again')).status).toBe(201);
  const client = dial();
  expect((await client.call('file_info', { domain, key: 'again' })).length).toBe('5');
});

test('no process outlives the front', async () => {
  const pids = [...(await pidsOf('queryworker')), ...(await pidsOf('replicate'))];
  expect(pids).toHaveLength(queryProcesses + 1);
  await cluster.trackerDaemons[0]?.kill('SIGKILL');
  await until('all to end', () => !pids.some(isAlive));
  await cluster.trackerDaemons[0]?.start();
  const idle = dial();
  await idle.ask('noop\r\n');
  const later = [...(await pidsOf('queryworker')), ...(await pidsOf('replicate'))];
  const daemon = cluster.trackerDaemons[0];
  const release = await holdUpLookups();
  const slow = dial();
  slow.write(`file_info domain=${domain}&key=none\r\n`);
  await inWork(1);
  expect(await dial().admin('!shutdown graceful')).toEqual([]);
  release();
  expect(await slow.line()).toBe('ERR unknown_key unknown_key\r\n');
  await until('an orderly end', () => daemon?.running === false && !later.some(isAlive));
});
