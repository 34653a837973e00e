/**
 * Goal: the share opens to whom the HTTP API opens, by token or password, and `readonly` is what it
 * says. Method: real clusters, requests as clients of WebDAV send them.
 */
import { startLocalCluster } from '@omgfs/cli';
import { expect, test } from 'vitest';

const basic = (password: string) =>
  `Basic ${Buffer.from(`any body:${password}`).toString('base64')}`;

async function withShare(
  args: string[],
  work: (status: (method: string, path: string, by?: string) => Promise<number>) => Promise<void>,
): Promise<void> {
  const one = { hosts: 1, devicesPerHost: 1, domain: 'main' };
  const cluster = await startLocalCluster({ ...one, extraTrackerArgs: args });
  try {
    await work(async (method, path, by) => {
      const headers = by === undefined ? {} : { authorization: by };
      const body = method === 'PUT' ? { body: 'x' } : {};
      const answer = await fetch(`${cluster.apis[0]}${path}`, { method, headers, ...body });
      await answer.arrayBuffer();
      if (answer.status === 401) {
        expect(answer.headers.get('www-authenticate')).toMatch(/^(Basic realm=|Bearer)/);
      }
      return answer.status;
    });
  } finally {
    await cluster.stop();
  }
}

test('tokens are asked for, and may come as passwords here only', async () => {
  const tokens = ['--http_token', 'all:of it', '--http_read_token', 'reading'];
  await withShare(['--http_dav', 'full', ...tokens], async (status) => {
    for (const by of [undefined, basic('wrong'), basic(''), 'Basic %%%', 'Digest x', 'Bearer x']) {
      for (const method of ['OPTIONS', 'PROPFIND', 'GET', 'PUT', 'MKCOL', 'DELETE']) {
        expect(await status(method, '/dav/main/f', by), `${method} ${by}`).toBe(401);
      }
    }
    for (const by of [basic('all:of it'), 'Bearer reading', basic('reading')]) {
      expect(await status('OPTIONS', '/dav/main/', by)).toBe(200);
      expect(await status('GET', '/dav/main/f', by)).toBe(404);
    }
    for (const method of ['PUT', 'MKCOL', 'MOVE', 'LOCK', 'PROPPATCH', 'DELETE']) {
      expect(await status(method, '/dav/main/f', basic('reading')), method).toBe(401);
    }
    expect(await status('PUT', '/dav/main/f', basic('all:of it'))).toBe(201);
    expect(await status('GET', '/dav/main/f', basic('reading'))).toBe(200);
    expect(await status('GET', '/v1/domains', basic('reading'))).toBe(401);
    expect(await status('GET', '/v1/domains', 'Bearer reading')).toBe(200);
  });
});

test('a share for reading takes nothing', async () => {
  await withShare(['--http_dav', 'readonly'], async (status) => {
    expect(await status('PUT', '/files/main/f')).toBe(201);
    expect(await status('GET', '/dav/main/f')).toBe(200);
    expect(await status('GET', '/dav/main')).toBe(405);
    for (const method of [
      'PUT',
      'DELETE',
      'MKCOL',
      'COPY',
      'MOVE',
      'LOCK',
      'UNLOCK',
      'PROPPATCH',
    ]) {
      expect(await status(method, '/dav/main/f'), method).toBe(405);
    }
    expect(await status('GET', '/dav/main/f')).toBe(200);
  });
});
