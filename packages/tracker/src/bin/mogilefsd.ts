#!/usr/bin/env node
/** The tracker process: command line, start, signals; everything else is elsewhere. */
import { rmSync, writeFileSync } from 'node:fs';
import { toOmgfsError } from '@omgfs/protocol';
import { readConfig } from '../config.ts';
import { createTracker } from '../tracker.ts';

const commandLine = readConfig(process.argv.slice(2));
if (commandLine.action === 'help') {
  process.stdout.write(commandLine.text);
  process.exit(0);
}
if (commandLine.action === 'refuse') {
  process.stderr.write(`mogilefsd: ${commandLine.reason}\n`);
  process.exit(2);
}

/** How long requests in flight may take when the tracker stops. */
const closeGraceMs = 10_000;

const { config } = commandLine;
const tracker = createTracker(config, {
  onFatal: (error) => {
    process.stderr.write(`mogilefsd: ${toOmgfsError(error).message}\n`);
    process.exit(1);
  },
  onShutdown: (how) => stop(how === 'graceful' ? closeGraceMs : 0),
});

let stopping = false;
function stop(graceMs: number): void {
  if (stopping) process.exit(1);
  stopping = true;
  void tracker.close({ graceMs }).then(() => {
    if (config.pidfile !== undefined) rmSync(config.pidfile, { force: true });
    process.exit(0);
  });
}

process.on('SIGTERM', () => stop(closeGraceMs));
process.on('SIGINT', () => stop(closeGraceMs));
if (config.pidfile !== undefined) writeFileSync(config.pidfile, `${process.pid}\n`);
try {
  await tracker.listen();
} catch (error) {
  process.stderr.write(`mogilefsd: cannot listen: ${toOmgfsError(error).message}\n`);
  process.exit(1);
}
