/**
 * Goal: clients outside the allowed networks get nothing on any port, TLS serves the same, and bad
 * options are refused. Method: real nodes on loopback, whose addresses are all 127.0.0.0/8.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { Agent } from 'undici';
import { expect, onTestFinished, test } from 'vitest';
import { parseNetworks } from '../src/access/networks.ts';
import { readConfig } from '../src/config.ts';
import { ask, createDocroot, filesOf, put, startNode, startWithNginx } from './helpers.ts';

const management = { host: '127.0.0.1', port: 0 };

test('others than the allowed networks are refused, on the side channel too', async () => {
  const access = { networks: parseNetworks('10.0.0.0/8, 2001:db8::/32'), secrets: [], pull: true };
  const { url, node } = await startNode({ access, management });
  const refused = await ask(`${url}/`);
  expect(refused.status).toBe(403);
  expect((await put(`${url}/dev1/x`, 'x')).status).toBe(403);
  const socket = connect({ host: '127.0.0.1', port: node.managementPort ?? 0 });
  socket.on('error', () => {});
  await once(socket, 'close');
});

test('the allowed ones are served', async () => {
  const access = { networks: parseNetworks('10.0.0.0/8 127.0.0.0/8'), secrets: [], pull: true };
  const { url } = await startNode({ access });
  expect((await put(`${url}/dev1/x`, 'x')).status).toBe(200);
});

test.each([
  '10.0.0.0/33',
  '300.0.0.1',
  'localhost',
  '10.0.0.0/x',
  '::1/129',
  '10.0.0.0/8/24',
  'fe80::1%lo',
])('%s is no network', (text) => {
  const commandLine = readConfig(['--skipconfig', '--allow', text], {});
  expect(commandLine).toMatchObject({
    action: 'refuse',
    reason: expect.stringContaining('is not ip'),
  });
});

test('TLS serves the same files', async () => {
  const docroot = await createDocroot(1);
  const [cert, key] = [join(docroot, 'cert.pem'), join(docroot, 'key.pem')];
  const subject = ['-subj', '/CN=localhost', '-days', '1', '-keyout', key, '-out', cert];
  execFileSync('openssl', ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', ...subject], {
    stdio: 'ignore',
  });
  const flags = ['--tls-listen', '127.0.0.1:0', '--tls-cert', cert, '--tls-key', key];
  const commandLine = readConfig(['--skipconfig', ...flags], {});
  if (commandLine.action !== 'run') throw new Error(JSON.stringify(commandLine));
  const { url, node } = await startNode({ docroot, tls: commandLine.config.tls });
  await put(`${url}/dev1/x`, 'hello');
  const dispatcher = new Agent({ connect: { rejectUnauthorized: false } });
  onTestFinished(() => dispatcher.close());
  const answer = await ask(`https://127.0.0.1:${node.tlsPort}/dev1/x`, { dispatcher });
  expect(answer).toMatchObject({ status: 200, text: 'hello' });
});

test('what TLS needs is said', async () => {
  const file = join(await createDocroot(), 'cert.pem');
  await writeFile(file, '');
  const refusal = (...flags: string[]) => readConfig(['--skipconfig', ...flags], {});
  const listen = ['--tls-listen', '7543'];
  expect(refusal(...listen)).toMatchObject({ reason: 'tls-listen needs tls-cert' });
  expect(refusal(...listen, '--tls-cert', file)).toMatchObject({
    reason: expect.stringContaining('needs tls-key'),
  });
  expect(refusal(...listen, '--tls-cert', '/nonexistent')).toMatchObject({
    reason: expect.stringMatching(/^cannot read tls-cert/),
  });
});

test.each(['omgfs-pulls', 'omgfs-bundle', 'omgfs-scrub'])(
  '%s lets no other order through without its signature',
  async (header) => {
    const access = { networks: [], secrets: ['geheim'], pull: true };
    const { url, docroot } = await startNode({ access });
    const { url: source } = await startNode();
    await put(`${source}/dev1/x`, 'of somebody else');
    const pull = { 'omgfs-pull': `${source}/dev1/x`, 'omgfs-length': '16' };
    const headers = { [header]: '1', ...pull };
    expect((await ask(`${url}/dev1/x`, { method: 'POST', headers })).status).toBe(401);
    expect(await filesOf(docroot, 1)).toEqual([]);
  },
);

test('an order for a scrub needs its signature, behind nginx too', async () => {
  const access = { networks: [], secrets: ['geheim'], pull: true };
  const { url } = await startWithNginx({ access });
  for (const header of ['omgfs-scrub', 'omgfs-pulls', 'omgfs-bundle']) {
    const headers = { 'omgfs-scrub': '1', [header]: '1' };
    const order = { method: 'POST', headers, body: '{"bytesPerSecond":1}' };
    const { status } = await ask(`${url}/dev1/.omgfs/scrub`, order);
    expect([header, status]).not.toEqual([header, 200]);
  }
});
