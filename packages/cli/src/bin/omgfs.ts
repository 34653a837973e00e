#!/usr/bin/env node
/** The `omgfs` command. */
import { OmgfsError } from '@omgfs/protocol';
import { printError } from '../output.ts';
import { runCommandLine } from '../program.ts';

const args = process.argv.slice(2);
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  // The reader of a pipe has enough; that is no failure of ours, unless a command thinks otherwise.
  if (error.code === 'EPIPE') process.exit(process.exitCode ?? 0);
  // What was to be shown is cut, whatever else succeeded.
  const message = `cannot write to standard output: ${error.message}; make room where it goes`;
  printError(new OmgfsError('FAILURE', { message }), { json: args.includes('--json') });
  process.exit(1);
});
process.exitCode = await runCommandLine(args);
