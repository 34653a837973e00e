#!/usr/bin/env node
/**
 * Measures what applications see, each beside its bare limit in the same run: downloads through
 * nginx with reproxying, lookups by the client library, uploads of a large file; and the memory of
 * a process that moves large files.
 */
import { writeFile } from 'node:fs/promises';
import { loadavg } from 'node:os';
import { parseArgs } from 'node:util';
import { Cleanup } from '../cleanup.ts';
import { comparisonLine } from '../client/compare.ts';
import { createOneCopyClass, storeFiles } from '../client/files.ts';
import { measureLookups } from '../client/lookup.ts';
import { measureReproxy } from '../client/reproxy.ts';
import { measureMemory, memoryLine } from '../client/transfer.ts';
import { measureUploads } from '../client/upload.ts';
import { startJobSite } from '../jobs/job-site.ts';

const help = `Measures the client library and reproxying on a system of its own.

  client-bench [--only LIST] [--rounds N] [--seconds S] [--connections N] [--files N]
               [--mebibytes N] [--sizes LIST] [--server NAME] [--cache] [--answers]
               [--json FILE] [--dir DIR]

  --only LIST      reproxy,lookup,upload,memory (default: all)
  --rounds N       rounds; medians of the ratios of each round are printed (default: 5)
  --seconds S      of each turn of downloads and lookups (default: 3)
  --connections N  downloads and lookups at once (default: 64)
  --files N        files of 64 KiB that are read and looked up (default: 500)
  --mebibytes N    size of the upload (default: 1024)
  --sizes LIST     of the files moved to measure memory, in MiB (default: 64,1024,3072)
  --server NAME    what serves the bytes of the storage nodes (default: themselves; nginx)
  --cache          the nginx in front keeps what it fetched
  --answers        the nginx in front keeps what the application answered, for ten seconds
  --json FILE      writes the numbers there
  --dir DIR        a directory on the disk to measure (default: the temporary directory)

Needs MariaDB's server programs, nginx and curl.
`;

const { values } = parseArgs({
  options: {
    help: { type: 'boolean', short: 'h' },
    only: { type: 'string', default: 'reproxy,lookup,upload,memory' },
    rounds: { type: 'string', default: '5' },
    seconds: { type: 'string', default: '3' },
    connections: { type: 'string', default: '64' },
    files: { type: 'string', default: '500' },
    mebibytes: { type: 'string', default: '1024' },
    sizes: { type: 'string', default: '64,1024,3072' },
    server: { type: 'string' },
    cache: { type: 'boolean', default: false },
    answers: { type: 'boolean', default: false },
    json: { type: 'string' },
    dir: { type: 'string' },
  },
});
if (values.help === true) {
  process.stdout.write(help);
  process.exit(0);
}

const wanted = new Set(values.only.split(','));
const rounds = Number(values.rounds);
const seconds = Number(values.seconds);
const callers = Number(values.connections);
const bytes = 65_536;
const numbers: Record<string, unknown> = { at: new Date().toISOString(), options: values };

function costLine(costs: Record<string, number>): string {
  const parts = Object.entries(costs).map(([name, micros]) => `${name} ${micros.toFixed(0)}`);
  return `processor time of one in µs: ${parts.join(', ')}`;
}

async function small(): Promise<void> {
  const cleanup = new Cleanup();
  try {
    const extraStorageArgs = values.server === undefined ? [] : ['--server', values.server];
    const site = await startJobSite(cleanup, { dir: values.dir, hosts: 2, extraStorageArgs });
    await createOneCopyClass(site);
    const keys = await storeFiles(site, { count: Number(values.files), bytes });
    if (wanted.has('lookup')) {
      const lookups = await measureLookups(site, { keys, callers, rounds, seconds });
      numbers.lookup = lookups;
      process.stdout.write(`${comparisonLine(lookups)}\n`);
      process.stdout.write(`  ${costLine(lookups.cpuMicros)}\n`);
      process.stdout.write(`  bare: ${costLine(lookups.bareCpuMicros)}\n`);
    }
    if (wanted.has('reproxy')) {
      const { cache, answers } = values;
      const options = { keys, bytes, callers, rounds, seconds, cache, answers };
      const downloads = await measureReproxy(site, cleanup, options);
      numbers.reproxy = downloads;
      process.stdout.write(`${comparisonLine(downloads)}\n`);
      process.stdout.write(`  ${costLine(downloads.cpuMicros)}\n`);
      process.stdout.write(`  bare: ${costLine(downloads.bareCpuMicros)}\n`);
    }
  } finally {
    await cleanup.run();
  }
}

async function large(): Promise<void> {
  const cleanup = new Cleanup();
  try {
    const site = await startJobSite(cleanup, { dir: values.dir, hosts: 1 });
    await createOneCopyClass(site);
    if (wanted.has('upload')) {
      const uploads = await measureUploads(site, { mebibytes: Number(values.mebibytes), rounds });
      numbers.upload = uploads;
      process.stdout.write(`${comparisonLine(uploads)}\n`);
    }
    if (wanted.has('memory')) {
      const memory = await measureMemory(site, values.sizes.split(',').map(Number));
      numbers.memory = memory;
      for (const one of memory) process.stdout.write(`${memoryLine(one)}\n`);
    }
  } finally {
    await cleanup.run();
  }
}

process.stdout.write(`load of the machine before: ${loadavg()[0]?.toFixed(1)}\n`);
if (wanted.has('lookup') || wanted.has('reproxy')) await small();
if (wanted.has('upload') || wanted.has('memory')) await large();
process.stdout.write(`load of the machine after: ${loadavg()[0]?.toFixed(1)}\n`);
if (values.json !== undefined) {
  await writeFile(values.json, `${JSON.stringify(numbers, null, 2)}\n`);
}
