#!/usr/bin/env node
/**
 * The application of the measurement of reproxying: answers every download with the headers for
 * nginx. Arguments: the socket to listen on, the domain and the trackers. Prints a line when it
 * serves.
 */
import { createServer } from 'node:http';
import { createClient, sendReproxy } from '@omgfs/client';

const [socket = '', domain = '', ...trackers] = process.argv.slice(2);
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
server.listen(socket, () => console.log('serving'));
process.on('SIGTERM', () => process.exit(0));
