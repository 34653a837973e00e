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

/** Ends the process now. An exit waits for every thread, and some may be in a disk that hangs. */
function end(code: number): void {
  process.once('exit', () => {
    if (node !== undefined && node.busyDevids.length > 0) process.kill(process.pid, 'SIGKILL');
  });
  process.exit(code);
}

function stop(): void {
  // A second signal means now.
  if (stopping) end(1);
  stopping = true;
  void Promise.resolve(node?.close()).then(() => {
    pidfile?.remove();
    end(0);
  });
}

process.on('SIGTERM', stop);
process.on('SIGINT', stop);
try {
  node = await createStorageNode(config, {
    onShutdown: (how) => (how === 'now' ? end(0) : stop()),
  });
  await node.listen();
  // Not before: a second start by mistake must not overwrite the file of the first.
  pidfile?.write();
  tellReady();
} catch (error) {
  process.stderr.write(`mogstored: ${toOmgfsError(error).message}\n`);
  process.exit(1);
}
