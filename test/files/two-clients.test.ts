/**
 * Goal: of several clients that want the same name only if it is free, at two trackers, exactly one
 * gets it, whatever their way. Method: a real cluster; they start at once, for several names.
 */
import { type LocalCluster, startLocalCluster } from '@omgfs/cli';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { FilesSite } from './site.ts';

let cluster: LocalCluster;
let sites: FilesSite[];
const clients = 4;

beforeAll(async () => {
  const size = { hosts: 1, devicesPerHost: 1, trackers: 2, domain: 'main' };
  cluster = await startLocalCluster({ ...size, extraTrackerArgs: ['--http_dav', 'full'] });
  sites = cluster.apis.map((api) => new FilesSite(api));
});
afterAll(() => cluster?.stop());

const free = { 'if-none-match': '*' };
const site = (client: number) => sites[client % sites.length] as FilesSite;
/** How a client takes a name; its own content is the number of the client. */
const ways = {
  put: (name: string, client: number) =>
    site(client).ask('PUT', `/files/main/${name}`, { body: `${client}`, headers: free }),
  'put into the share': (name: string, client: number) =>
    site(client).ask('PUT', `/dav/main/${name}`, { body: `${client}`, headers: free }),
  copy: (name: string, client: number) => transfer('COPY', name, client),
  move: (name: string, client: number) => transfer('MOVE', name, client),
};

function transfer(method: string, name: string, client: number) {
  const headers = { destination: `${site(client).base}/dav/main/${name}`, overwrite: 'F' };
  return site(client).ask(method, `/dav/main/from-${name}-${client}`, { headers });
}

const all = <T>(work: (client: number) => Promise<T>) =>
  Promise.all(Array.from({ length: clients }, (_, client) => work(client)));

test.each(Object.entries(ways))('by %s', async (way, take) => {
  for (let round = 0; round < 5; round += 1) {
    const name = `${way.replaceAll(' ', '-')}-${round}`;
    await all((client) =>
      site(client).ask('PUT', `/files/main/from-${name}-${client}`, { body: `${client}` }),
    );
    const answers = await all((client) => take(name, client));
    const statuses = answers.map(({ status }) => status);
    expect([...statuses].sort()).toEqual([201, ...Array(clients - 1).fill(412)]);
    const { body } = await site(0).ask('GET', `/files/main/${name}`);
    expect(body.toString()).toBe(`${statuses.indexOf(201)}`);
    // Who did not get it has lost nothing.
    const left = await all((client) => site(1).ask('GET', `/files/main/from-${name}-${client}`));
    const gone = left.filter(({ status }) => status === 404);
    expect(gone).toHaveLength(way === 'move' ? 1 : 0);
  }
});

test('a file that was replaced is not removed in the place of the old one', async () => {
  const put = () => site(0).ask('PUT', '/files/main/removed', { body: 'x' });
  const remove = (etag: unknown) =>
    site(1).ask('DELETE', '/files/main/removed', { headers: { 'if-match': String(etag) } });
  const [old, now] = [await put(), await put()];
  expect((await remove(old.headers.etag)).status).toBe(412);
  expect((await remove(now.headers.etag)).status).toBe(204);
  expect((await remove('*')).status).toBe(412);
});
