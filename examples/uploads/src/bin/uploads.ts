#!/usr/bin/env node
/** Starts the whole site on this machine, says where it is, and stops it all on Ctrl-C. */
import { once } from 'node:events';
import { readConfig } from '../config.ts';
import { startSite } from '../local/site.ts';

const interrupt = new AbortController();
// They stay: npm sends a Ctrl-C a second time, which must not end the stop half-way.
for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.on(name, () => interrupt.abort());
}
const { signal } = interrupt;
try {
  const say = (message: string) => console.error(`uploads: ${message}`);
  const site = await startSite({ ...readConfig(), signal, onUnexpectedEnd: say });
  console.log(`uploads is up: ${site.url}\n`);
  for (const address of site.cluster.trackers) console.log(`  tracker  ${address}`);
  for (const { name, ip, httpPort, pid } of site.cluster.hosts) {
    console.log(`  ${name}    http://${ip}:${httpPort}  process ${pid}`);
  }
  console.log('\nKill a node (kill -9) and look at the pictures. Stop everything with Ctrl-C.');
  const alive = setInterval(() => {}, 3_600_000);
  if (!signal.aborted) await once(signal, 'abort');
  clearInterval(alive);
  console.log('\nStopping.');
  await site.stop();
} catch (error) {
  if (!signal.aborted) {
    console.error(`uploads: ${error instanceof Error ? error.message : error}`);
    process.exitCode = 1;
  }
}
