#!/usr/bin/env node
/** The load tool: command line, run, report; interrupting it still removes what it made. */
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type RunOptions, runBench } from '../bench.ts';
import { runLocal } from '../local/local.ts';
import { help, readCommandLine } from '../options.ts';
import { renderReport } from '../report/table.ts';

const commandLine = readCommandLine(process.argv.slice(2));
if (commandLine.action === 'help') {
  process.stdout.write(help);
  process.exit(0);
}
if (commandLine.action === 'refuse') {
  process.stderr.write(`bench: ${commandLine.reason}\nbench --help explains.\n`);
  process.exit(2);
}

const { options } = commandLine;
const interrupted = new AbortController();
const hooks = {
  signal: interrupted.signal,
  progress: (text: string) => {
    if (process.stderr.isTTY) process.stderr.write(`\r\x1b[K${text}`);
  },
};
for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => interrupted.abort(new Error(`ended by ${signal}`)));
}

try {
  const { tracker } = options;
  const report =
    tracker === undefined
      ? await runLocal(options, hooks)
      : await runBench({ ...options, tracker } satisfies RunOptions, hooks);
  hooks.progress('');
  process.stdout.write(renderReport(report));
  const time = report.startedAt.replace(/[:.]/g, '-');
  const results = fileURLToPath(new URL('../../results/', import.meta.url));
  const file = options.json ?? `${results}${time}.json`;
  await mkdir(dirname(file), { recursive: true });
  await writeFile(file, `${JSON.stringify(report, null, 2)}\n`);
  process.stdout.write(`\nresults in ${file}\n`);
} catch (error) {
  process.stderr.write(`\nbench: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exit(1);
}
