#!/usr/bin/env node
/** Starts the example; says where it listens. */
import { readConfig } from '../config.ts';
import { createServer } from '../server.ts';

const config = readConfig();
const server = createServer(config);
const address = await server.listen({ host: config.host, port: config.port });
console.log(`uploads listens on ${address}`);
for (const signal of ['SIGINT', 'SIGTERM']) {
  process.on(signal, () => void server.close());
}
