/**
 * Goal: what a monitoring system collects from a node is true, and is nothing that the port of the
 * files shows. Method: a real node that served known requests.
 */
import { mkdir, readFile, rename } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { fidPath } from '@omgfs/protocol';
import { expect, onTestFinished, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { parseNetworks } from '../src/access/networks.ts';
import { ask, put, startNode, startWithNginx } from './helpers.ts';

const metrics = { host: '127.0.0.1', port: 0 };

async function collect({ metricsPort }: { metricsPort: number | undefined }) {
  const { status, headers, text } = await ask(`http://127.0.0.1:${metricsPort}/metrics`);
  expect([status, headers['content-type']]).toEqual([
    200,
    'text/plain; version=0.0.4; charset=utf-8',
  ]);
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const figures = new Map(
    samples.map((line): [string, number] => {
      const end = line.lastIndexOf(' ');
      return [line.slice(0, end), Number(line.slice(end + 1))];
    }),
  );
  return { text, of: (name: string) => figures.get(`omgfs_node_${name}`) };
}

test('requests are counted by method and status, however they are served', async () => {
  const { node, url } = await startNode({ metrics });
  const path = fidPath(1, 42);
  await put(url + path, 'hello');
  // The later ones from memory.
  for (let read = 0; read < 5; read += 1) await ask(url + path);
  await ask(`${url}/dev1/nothing`);
  await ask(url + path, { method: 'PROPFIND' });
  await ask(url + path, { method: 'DELETE' });
  const expected = {
    'method="PUT",status="200"': 1,
    'method="GET",status="200"': 5,
    'method="GET",status="404"': 1,
    'method="PROPFIND",status="405"': 1,
    'method="DELETE",status="204"': 1,
  };
  // Counted when the answer has left, which a client may see first.
  await until('all to be counted', async () => {
    const page = await collect(node);
    const isCounted = ([labels, count]: [string, number]) =>
      page.of(`requests_total{${labels}}`) === count;
    return Object.entries(expected).every(isCounted);
  });
  const { of } = await collect(node);
  expect(of('connections_dropped_total')).toBe(0);
  expect(of('resident_bytes')).toBeGreaterThan(1e7);
  // The port of the files is what it was.
  expect((await ask(`${url}/metrics`)).status).toBe(404);
});

test('disks: how full, how they are, what they failed, and that they take writes', async () => {
  const { node, url, docroot } = await startNode({ metrics, sweepMs: 50 });
  const path = fidPath(1, 42);
  await put(url + path, 'hello');
  const { of } = await collect(node);
  const size = of('device_size_bytes{devid="1"}') ?? 0;
  expect(size).toBeGreaterThan(0);
  expect(of('device_used_bytes{devid="1"}')).toBeLessThan(size);
  expect(of('device_free_bytes{devid="1"}')).toBeLessThan(size);
  expect(of('device_state{devid="2",state="ready"}')).toBe(1);
  expect(of('device_errors_total{devid="1"}')).toBe(0);
  expect(of('device_calls{devid="1",state="waiting"}')).toBe(0);
  const usage = await readFile(join(docroot, 'dev1/usage'), 'utf8');
  const written = of('device_written_timestamp_seconds{devid="1"}') ?? 0;
  expect(Math.abs(written - Number(/^time: (\d+)$/m.exec(usage)?.[1]))).toBeLessThan(60);
  expect(of('scrub_rounds_total{devid="1"}')).toBe(0);
  expect(of('scrub_findings{devid="1",state="waiting"}')).toBe(0);
  await rename(join(docroot, 'dev2'), join(docroot, 'away'));
  await mkdir(join(docroot, 'dev2'));
  await until('the other disk is refused', async () => {
    return (await collect(node)).of('device_state{devid="2",state="refused"}') === 1;
  });
});

test('what nginx answers by itself is counted too, also after it died', async () => {
  const { node, url, docroot } = await startWithNginx({ metrics });
  const path = fidPath(1, 42);
  await put(url + path, 'hello');
  const requests = async () => (await collect(node)).of('nginx_requests_total') ?? 0;
  const before = await requests();
  for (let read = 0; read < 5; read += 1) expect((await ask(url + path)).text).toBe('hello');
  // The page itself is one more.
  expect((await requests()) - before).toBeGreaterThanOrEqual(6);
  expect((await collect(node)).of('requests_total{method="GET",status="200"}')).toBeUndefined();
  const pid = Number(await readFile(join(docroot, '.omgfs-nginx/nginx.pid'), 'utf8'));
  process.kill(pid, 'SIGKILL');
  await until(
    'the next one',
    async () => (await requests()) < before + 6 && (await requests()) > 0,
  );
});

test('only networks that may use the node get its figures, and nothing else', async () => {
  const access = { networks: parseNetworks('192.0.2.0/24'), secrets: [], pull: true };
  const { node } = await startNode({ metrics, access });
  expect((await ask(`http://127.0.0.1:${node.metricsPort}/metrics`)).status).toBe(403);
  const open = await startNode({ metrics });
  const origin = `http://127.0.0.1:${open.node.metricsPort}`;
  for (const target of ['/', '/dev1/usage', '/metrics/', '/%']) {
    expect((await ask(origin + target)).status).toBeGreaterThanOrEqual(400);
  }
  expect((await ask(`${origin}/metrics`, { method: 'PUT', body: 'x' })).status).toBe(404);
  const idle = connect({ host: '127.0.0.1', port: open.node.metricsPort ?? 0 });
  onTestFinished(() => void idle.destroy());
  // An idle client does not hold up the end of the node.
  await open.node.close();
});
