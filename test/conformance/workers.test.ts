/**
 * Goal: `!want` and `!jobs` do what operators and the original's tests expect of worker processes
 * (spec §1.6, §5.6, §10), although jobs are no processes here: every kind goes to 0 and comes back,
 * clients keep their connections, and the job master feeds replicate, delete and fsck or not.
 * Method: real trackers, in one process and in several, started without a job master.
 */
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { databaseOf } from '../helpers/mariadb.ts';
import { RawClient, storeRaw } from '../helpers/raw-client.ts';
import { sharedServer } from '../helpers/shared-server.ts';
import { until } from '../helpers/wait.ts';

const domain = 'workers';

describe.each([
  ['in one process', ['--workers', '2', '--query_processes', '0']],
  ['in several', ['--query_processes', '2']],
])('%s', (_, args) => {
  let cluster: LocalCluster;
  const clients: RawClient[] = [];

  beforeAll(async () => {
    cluster = await startLocalCluster({
      ...{ hosts: 2, devicesPerHost: 1, domain },
      ...(await databaseOf(sharedServer())),
      extraTrackerArgs: [...args, '--no-job_master'],
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

  interface Shown {
    count: number;
    desired: number;
    pids: number;
  }

  async function shown(admin: RawClient, job: string): Promise<Shown> {
    const lines = await admin.admin('!jobs');
    const words = (name: string) => {
      const line = lines.find((one) => one.startsWith(`${job} ${name} `)) ?? '';
      return line.trimEnd().split(' ').slice(2);
    };
    const number = (name: string) => Number(words(name)[0] ?? Number.NaN);
    return { count: number('count'), desired: number('desired'), pids: words('pids').length };
  }

  async function want(admin: RawClient, count: number, job: string): Promise<void> {
    const said = `Now desiring ${count} children doing '${job}'.\r\n`;
    expect(await admin.admin(`!want ${count} ${job}`)).toEqual([said]);
    await until(`${count} of ${job}`, async () => (await shown(admin, job)).count === count);
  }

  test('there are as many query workers as were asked for', async () => {
    expect(await shown(dial(), 'queryworker')).toMatchObject({ count: 2, desired: 2 });
  });

  test('without a job master files are stored and not copied, until there is one', async () => {
    const admin = dial();
    for (const job of ['replicate', 'delete', 'fsck']) {
      expect(await shown(admin, job)).toMatchObject({ count: 0, pids: 0 });
    }
    expect((await shown(admin, 'monitor')).count).toBe(1);
    await storeRaw(admin, { domain, key: 'waits', body: 'for a copy' });
    const devcount = async () => (await admin.call('file_info', { domain, key: 'waits' })).devcount;
    expect(await devcount()).toBe('1');
    await want(admin, 1, 'job_master');
    for (const job of ['replicate', 'delete', 'fsck']) {
      expect((await shown(admin, job)).count).toBeGreaterThan(0);
    }
    await until('the file to be copied', async () => (await devcount()) === '2');
    await want(admin, 0, 'job_master');
    for (const job of ['replicate', 'delete', 'fsck']) {
      expect((await shown(admin, job)).count).toBe(0);
    }
    await want(admin, 1, 'job_master');
  });

  test.each(['queryworker', 'replicate', 'delete', 'fsck', 'reaper', 'monitor', 'job_master'])(
    '%s goes to 0 and back',
    async (job) => {
      const admin = dial();
      await want(admin, 0, job);
      expect((await shown(admin, job)).pids).toBe(0);
      await want(admin, 1, job);
      expect((await shown(admin, job)).pids).toBe(1);
      expect(await admin.ask('noop\r\n')).toBe('OK \r\n');
    },
  );

  test('requests without a query worker wait, are listed, and are answered in order', async () => {
    const admin = dial();
    const client = dial();
    await want(admin, 0, 'queryworker');
    client.write('get_domains a=1\r\nmade_up b=2\r\n');
    const waiting = await until('the first to be listed', async () => {
      const lines = await admin.admin('!queue');
      return lines.length > 0 ? lines : undefined;
    });
    expect(waiting).toEqual(['127.0.0.1 get_domains a=1\r\n']);
    await want(admin, 2, 'queryworker');
    expect(await client.line()).toMatch(/^OK /);
    expect(await client.line()).toMatch(/^ERR unknown_command /);
    expect(await admin.admin('!queue')).toEqual([]);
  });

  test('clients keep their connections when there are fewer or more query workers', async () => {
    const admin = dial();
    const others = Array.from({ length: 6 }, dial);
    for (const count of [1, 2, 1, 3, 2]) {
      for (const other of others) other.write('noop\r\n');
      await want(admin, count, 'queryworker');
      for (const other of others) expect(await other.line()).toBe('OK \r\n');
    }
  });

  test('there is one monitor and one job master at most', async () => {
    const admin = dial();
    for (const job of ['monitor', 'job_master']) {
      expect((await admin.admin(`!want 3 ${job}`))[0]).toMatch(/^Now desiring 3 children/);
      expect(await shown(admin, job)).toMatchObject({ count: 1, desired: 1 });
    }
  });
});
