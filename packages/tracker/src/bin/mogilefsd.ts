#!/usr/bin/env node
/** The tracker process: command line, start, signals; everything else is elsewhere. */
import { goToBackground, Pidfile, tellReady } from '@omgfs/daemon';
import { toOmgfsError } from '@omgfs/protocol';
import { readConfig } from '../config.ts';
import { keepHeapSmall } from '../heap.ts';
import { createTracker } from '../tracker.ts';

keepHeapSmall();
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
// On the terminal too, and not only in the log: what was asked for and is not done.
for (const warning of config.warnings) process.stderr.write(`mogilefsd: ${warning}\n`);
if (config.daemonize) {
  const args = [...process.argv.slice(1), '--no-daemonize'];
  try {
    await goToBackground({ ident: 'mogilefsd', args, path: config.path });
    process.exit(0);
  } catch (error) {
    process.stderr.write(`${toOmgfsError(error).message}\n`);
    process.exit(1);
  }
}
const pidfile = config.pidfile === undefined ? undefined : new Pidfile(config.pidfile);
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
    pidfile?.remove();
    process.exit(0);
  });
}

process.on('SIGTERM', () => stop(closeGraceMs));
process.on('SIGINT', () => stop(closeGraceMs));
try {
  pidfile?.write();
  await tracker.listen();
  tellReady();
} catch (error) {
  process.stderr.write(`mogilefsd: cannot start: ${toOmgfsError(error).message}\n`);
  process.exit(1);
}
