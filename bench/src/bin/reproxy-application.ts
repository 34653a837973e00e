#!/usr/bin/env node
/**
 * The application of the measurement of reproxying: answers every download with the headers for
 * nginx. Arguments: the domain and the trackers. Prints its address.
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createClient, sendReproxy } from '@omgfs/client';

const [domain = '', ...trackers] = process.argv.slice(2);
// As an application behind a busy proxy is set up.
const client = createClient({ trackers, domain, pathCache: { entries: 100_000 } });
const prefix = '/files/';
// Without an answer cache in nginx the last two mean nothing.
const answer = {
  shape: 'nginx',
  contentType: 'image/jpeg',
  cacheSeconds: 10,
  cacheFor: 'everyone',
} as const;

const server = createServer((request, response) => {
  const key = (request.url ?? '').slice(prefix.length);
  client.paths(key, { count: 3 }).then(
    (paths) => sendReproxy(response, paths, answer),
    (error: { status?: number }) => response.writeHead(error.status ?? 500).end(),
  );
});
server.listen(0, '127.0.0.1', () => {
  console.log(`127.0.0.1:${(server.address() as AddressInfo).port}`);
});
process.on('SIGTERM', () => process.exit(0));
