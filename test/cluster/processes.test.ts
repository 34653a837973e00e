/**
 * Goal: a tracker of several processes behaves as one: what one process is told, all know; `!`
 * commands count over all; any process may die (I1, I4).
 * Method: real processes on MariaDB, killed with SIGKILL, found by their pids in `!jobs`.
 */
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, afterEach, beforeAll, expect, inject, test } from 'vitest';
import { connectTo, createDatabaseOn, dsnOf } from '../helpers/mariadb.ts';
import { RawClient, storeRaw } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

const queryProcesses = 2;
const domain = 'many';
let cluster: LocalCluster;
let database: string;
const clients: RawClient[] = [];

beforeAll(async () => {
  const server = inject('mysql');
  database = await createDatabaseOn(server);
  cluster = await startLocalCluster({
    hosts: 2,
    devicesPerHost: 1,
    domain,
    dsn: dsnOf(server, database),
    dbUser: server.user,
    dbPass: server.password,
    extraTrackerArgs: ['--query_processes', String(queryProcesses)],
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

/** @returns the pids of those that were. */
async function killAll(): Promise<number[]> {
  const victims = await pidsOf('queryworker');
  for (const pid of victims) process.kill(pid, 'SIGKILL');
  await until('they are gone', () => !victims.some(isAlive));
  return victims;
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
  expect(await watcher.line()).toMatch(/^:: \{.*"role":"jobs"/);
  await cluster.hosts[1]?.start();
  const check = dial();
  await until('both devices to be writeable', async () => {
    await check.call('clear_cache');
    const { dev1_observed_state: one, dev2_observed_state: other } =
      await check.call('get_devices');
    return one === 'writeable' && other === 'writeable';
  });
});

test('query processes that are killed: clients notice nothing, counters stay', async () => {
  const before = await counter('queries');
  const all = await dialAll();
  for (const client of all) {
    for (let i = 0; i < 20; i += 1) await client.ask('noop\r\n');
  }
  const counted = before + queryProcesses * 21;
  // A survey tells the front the counters as they stand, and comes after a turn of each process.
  expect(await counter('queries')).toBeGreaterThanOrEqual(counted);
  const victims = await killAll();
  for (const client of all) expect(await client.ask('noop\r\n')).toBe('OK \r\n');
  await until('others to take their place', async () => {
    const pids = await pidsOf('queryworker');
    return pids.length === queryProcesses && !pids.some((pid) => victims.includes(pid));
  });
  for (const client of await dialAll()) expect(await client.code('get_domains')).toBe('OK');
  expect(await counter('queries')).toBeGreaterThanOrEqual(counted);
});

async function inWork(count: number): Promise<void> {
  await until('the requests to be in work', async () => {
    return (await dial().admin('!stats')).includes(`processing_queries ${count}\r\n`);
  });
}

/** Lookups wait until the lock is released; the start of a process does not. */
async function holdUpLookups(): Promise<() => Promise<void>> {
  const connection = await connectTo(inject('mysql'), database);
  await connection.query('LOCK TABLES file_on WRITE');
  return async () => connection.destroy();
}

test('I4: what a killed query process owed is answered, in order', async () => {
  const release = await holdUpLookups();
  const [cut, plain] = (await dialAll()) as [RawClient, RawClient];
  const [reads, long] = (await dialAll()) as [RawClient, RawClient];
  const admin = await dialAll();
  cut.write('sleep duration=30\r\n\r\nnoop\r\nnoop callid=1\r\nno');
  plain.write('sleep duration=30\r\n');
  reads.write(`file_info domain=${domain}&key=none&callid=again\r\nnoop callid=next\r\n`);
  long.write(`file_info domain=${domain}&key=none&x=${'x'.repeat(500)}\r\nnoop\r\nno`);
  // The answer to an admin command has another form, so its connection cannot go on.
  for (const client of admin) client.write('sleep duration=30\r\n!version\r\n');
  await inWork(6);
  await killAll();
  await release();
  // Nobody knows whether these were executed; what came behind them was not.
  for (const client of [cut, plain]) expect(await client.line()).toMatch(/^ERR failure /);
  expect(await cut.line()).toBe('OK \r\n');
  expect(await cut.line()).toBe('OK callid=1\r\n');
  cut.write('op callid=2\r\nnoop callid=3\r\n');
  expect(await cut.line()).toBe('OK callid=2\r\n');
  expect(await cut.line()).toBe('OK callid=3\r\n');
  expect(await plain.ask('noop callid=4\r\n')).toBe('OK callid=4\r\n');
  // What only reads is executed again; of long requests the words are not known.
  expect(await reads.line()).toBe('ERR unknown_key unknown_key again\r\n');
  expect(await reads.line()).toBe('OK callid=next\r\n');
  for (let i = 0; i < 2; i += 1) expect(await long.line()).toMatch(/^ERR failure /);
  long.write('op callid=lost\r\nnoop callid=whole\r\n');
  expect(await long.line()).toMatch(/^ERR failure /);
  expect(await long.line()).toBe('OK callid=whole\r\n');
  for (const client of admin) expect(await client.line()).toBeUndefined();
});

test('a request that two processes did not survive is not tried a third time', async () => {
  const release = await holdUpLookups();
  const client = dial();
  client.write(`file_info domain=${domain}&key=none&callid=poison\r\nnoop callid=next\r\n`);
  for (let i = 0; i < 2; i += 1) {
    await inWork(1);
    await killAll();
  }
  for (let i = 0; i < 2; i += 1) expect(await client.line()).toMatch(/^ERR failure /);
  expect(await client.ask('noop callid=well\r\n')).toBe('OK callid=well\r\n');
  await release();
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
  for (let round = 0; round < 2; round += 1) {
    const answered = outcomes.answered;
    await until('some answers', () => outcomes.answered > answered + 200);
    const [victim] = await pidsOf('queryworker');
    if (victim !== undefined) process.kill(victim, 'SIGKILL');
  }
  stopped = true;
  await load;
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
  const slow = dial();
  slow.write('sleep duration=1\r\n');
  await until('the request to be in work', async () => {
    return (await dial().admin('!stats')).includes('processing_queries 1\r\n');
  });
  expect(await dial().admin('!shutdown graceful')).toEqual([]);
  expect(await slow.line()).toBe('OK \r\n');
  await until('an orderly end', () => daemon?.running === false && !later.some(isAlive));
});
