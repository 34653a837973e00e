#!/usr/bin/env node
/** The command that sets up the database: command line, questions, exit code. */
import { createInterface, type Interface } from 'node:readline';
import { toOmgfsError } from '@omgfs/protocol';
import { readSetupArguments, type SetupOptions } from '../setup/arguments.ts';
import { Declined, setUpDatabase } from '../setup/mogdbsetup.ts';

process.exitCode = await main();

async function main(): Promise<number> {
  const commandLine = readSetupArguments(process.argv.slice(2));
  if (commandLine.action === 'help') {
    process.stdout.write(commandLine.text);
    return 0;
  }
  if (commandLine.action === 'refuse') {
    process.stderr.write(`mogdbsetup: ${commandLine.reason}\n`);
    return 2;
  }
  return run(commandLine.options);
}

async function run(options: SetupOptions): Promise<number> {
  for (const warning of options.warnings) process.stderr.write(`mogdbsetup: ${warning}\n`);
  // Opened for the first question; a script may answer by a pipe, as with the original.
  let answers: Interface | undefined;
  let lines: AsyncIterator<string> | undefined;
  const ask = async (question: string): Promise<string | undefined> => {
    answers ??= createInterface({ input: process.stdin });
    lines ??= answers[Symbol.asyncIterator]();
    process.stdout.write(question);
    const { value, done } = await lines.next();
    return done === true ? undefined : value;
  };
  try {
    await setUpDatabase(options, { say: (line) => process.stdout.write(`${line}\n`), ask });
    return 0;
  } catch (error) {
    const message = error instanceof Declined ? error.message : toOmgfsError(error).message;
    process.stderr.write(`mogdbsetup: ${message}\n`);
    return error instanceof Declined ? 3 : 1;
  } finally {
    answers?.close();
  }
}
