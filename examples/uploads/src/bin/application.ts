#!/usr/bin/env node
/** Starts the application alone, for an omgfs and an nginx that are there already. */
import { readConfig } from '../config.ts';
import { createServer } from '../server.ts';

const config = readConfig();
const server = createServer(config);
const address = await server.listen({ host: config.host, port: config.port });
console.log(`uploads listens on ${address}`);
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => void server.close());
}
