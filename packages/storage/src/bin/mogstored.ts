#!/usr/bin/env node
/** The storage node process: command line, start, signals; everything else is elsewhere. */
import { goToBackground, Pidfile, tellReady } from '@omgfs/daemon';
import { toOmgfsError } from '@omgfs/protocol';
import { readConfig } from '../config.ts';
import { createStorageNode, type StorageNode } from '../storage.ts';

const commandLine = readConfig(process.argv.slice(2));
if (commandLine.action === 'help') {
  process.stdout.write(commandLine.text);
  process.exit(0);
}
if (commandLine.action === 'refuse') {
  process.stderr.write(`mogstored: ${commandLine.reason}\n`);
  process.exit(2);
}

const { config } = commandLine;
// On the terminal too, and not only in the log: what was asked for and is not done.
for (const warning of config.warnings) process.stderr.write(`mogstored: ${warning}\n`);
if (config.daemonize) {
  const args = [...process.argv.slice(1), '--no-daemonize'];
  try {
    await goToBackground({ ident: 'mogstored', args, path: config.path });
    process.exit(0);
  } catch (error) {
    process.stderr.write(`${toOmgfsError(error).message}\n`);
    process.exit(1);
  }
}
const pidfile = config.pidfile === undefined ? undefined : new Pidfile(config.pidfile);
let node: StorageNode | undefined;
let stopping = false;

function stop(): void {
  // A second signal means now.
  if (stopping) process.exit(1);
  stopping = true;
  void Promise.resolve(node?.close()).then(() => {
    pidfile?.remove();
    process.exit(0);
  });
}

process.on('SIGTERM', stop);
process.on('SIGINT', stop);
try {
  node = await createStorageNode(config, {
    onShutdown: (how) => (how === 'now' ? process.exit(0) : stop()),
  });
  await node.listen();
  // Not before: a second start by mistake must not overwrite the file of the first.
  pidfile?.write();
  tellReady();
} catch (error) {
  process.stderr.write(`mogstored: ${toOmgfsError(error).message}\n`);
  process.exit(1);
}
