/** `omgfs export`: a domain as a directory or a tar archive. */
import { createClient } from '@omgfs/client';
import type { Command } from 'commander';
import type { AdminContext, WithAdmin } from '../admin/context.ts';
import { withInterrupt } from '../interrupt.ts';
import { exportDirectory } from '../migrate/archive/export-directory.ts';
import { exportTar } from '../migrate/archive/export-tar.ts';
import { byteRate, numberAbove } from '../numbers.ts';

interface Flags {
  prefix: string;
  jobs: number;
  bandwidth?: number;
  dryRun?: boolean;
}

export function addExportCommand(program: Command, withAdmin: WithAdmin): void {
  program
    .command('export <domain> <target>')
    .description('write all files of a domain, with their keys and classes, to DIR, FILE.tar or -')
    .option('-p, --prefix <text>', 'only keys that begin with it', '')
    .option('-j, --jobs <n>', 'files at once', numberAbove(0), 8)
    .option('--bandwidth <rate>', 'bytes a second at most, like 20M', byteRate)
    .option('-n, --dry-run', 'only say what would be written')
    .addHelpText('after', explanation)
    .action(
      withAdmin((context, domain: string, target: string, flags: Flags) =>
        withInterrupt((signal) => run(context, { domain, target, flags, signal })),
      ),
    );
}

async function run(
  { admin, trackers, json }: AdminContext,
  request: { domain: string; target: string; flags: Flags; signal: AbortSignal },
): Promise<void> {
  const { domain, target, flags, signal } = request;
  const { prefix, ...options } = flags;
  const client = createClient({ trackers, domain });
  try {
    const place = { client, admin, domain, prefix };
    const work = target === '-' || target.endsWith('.tar') ? exportTar : exportDirectory;
    await work(place, target, { ...options, json, signal });
  } finally {
    await client.close();
  }
}

const explanation = `
A file of the export appears whole or not at all, compared with its checksum. Stopped in the middle,
the same command goes on; run again later, it fetches what is new or changed and removes nothing.
manifest.jsonl keeps keys, classes, lengths and checksums; a key that cannot be a file name is below
keys/, every other one below files/. A tar archive unpacks to
the same. '-' is an archive on standard output, which cannot go on when it was stopped.

Examples:
  omgfs export photos /backup/photos
  omgfs export photos /backup/2026.tar --prefix 2026/
  omgfs export photos - | zstd > photos.tar.zst
`;
