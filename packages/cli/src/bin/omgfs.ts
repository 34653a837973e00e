#!/usr/bin/env node
/** The `omgfs` command. */
import { runCommandLine } from '../program.ts';

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe has enough; that is no failure of ours, unless a command thinks otherwise.
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
});
process.exitCode = await runCommandLine(process.argv.slice(2));
