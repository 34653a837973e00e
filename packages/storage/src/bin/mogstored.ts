#!/usr/bin/env node
/** The storage node process: command line, start, signals; everything else is elsewhere. */
import { rmSync, writeFileSync } from 'node:fs';
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
let node: StorageNode | undefined;
let stopping = false;

function stop(): void {
  // A second signal means now.
  if (stopping) process.exit(1);
  stopping = true;
  void Promise.resolve(node?.close()).then(() => {
    if (config.pidfile !== undefined) rmSync(config.pidfile, { force: true });
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
  if (config.pidfile !== undefined) writeFileSync(config.pidfile, `${process.pid}\n`);
} catch (error) {
  process.stderr.write(`mogstored: ${toOmgfsError(error).message}\n`);
  process.exit(1);
}
