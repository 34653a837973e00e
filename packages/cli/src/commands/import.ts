/** `omgfs import`: stores what `omgfs export` wrote. */
import { stat } from 'node:fs/promises';
import { createClient } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import type { Command } from 'commander';
import type { AdminContext, WithAdmin } from '../admin/context.ts';
import { withInterrupt } from '../interrupt.ts';
import { importDirectory } from '../migrate/archive/import-directory.ts';
import { importStream } from '../migrate/archive/import-stream.ts';
import { importTar } from '../migrate/archive/import-tar.ts';
import { byteRate, numberAbove } from '../numbers.ts';

interface Flags {
  jobs: number;
  bandwidth?: number;
  dryRun?: boolean;
  overwrite?: boolean;
  partial?: boolean;
}

export function addImportCommand(program: Command, withAdmin: WithAdmin): void {
  program
    .command('import <source> <domain>')
    .description('store what omgfs export wrote: DIR, FILE.tar or -')
    .option('-j, --jobs <n>', 'files at once', numberAbove(0), 8)
    .option('--bandwidth <rate>', 'bytes a second at most, like 20M', byteRate)
    .option('--overwrite', 'replace files that have other bytes; without it they are failures')
    .option('--partial', 'also of an export that was not finished')
    .option('-n, --dry-run', 'only check all files, and say which would be stored')
    .addHelpText('after', explanation)
    .action(
      withAdmin((context, source: string, domain: string, flags: Flags) =>
        withInterrupt((signal) => run(context, { source, domain, flags, signal })),
      ),
    );
}

async function run(
  { admin, trackers, json }: AdminContext,
  request: { source: string; domain: string; flags: Flags; signal: AbortSignal },
): Promise<void> {
  const { source, domain, flags, signal } = request;
  const client = createClient({ trackers, domain });
  try {
    const place = { client, admin, domain };
    const options = { ...flags, json, signal };
    if (source === '-') await importStream(place, process.stdin, options);
    else if (await isFile(source)) await importTar(place, source, options);
    else await importDirectory(place, source, options);
  } finally {
    await client.close();
  }
}

/** @throws BAD_ARGS when there is nothing. */
async function isFile(path: string): Promise<boolean> {
  const stats = await stat(path).catch((error: Error) => {
    const message = `${path} cannot be read: ${error.message}`;
    throw new OmgfsError('BAD_ARGS', { message, cause: error });
  });
  return stats.isFile();
}

const explanation = `
Creates the domain and its classes where they are missing. A file whose bytes are not those of the
manifest is not stored. Files that are there already are compared, by checksum or by reading them,
and not stored again; so the same command goes on when it was stopped.

Examples:
  omgfs import /backup/photos photos
  omgfs import photos.tar photos
  zstd -d < photos.tar.zst | omgfs import - photos
  omgfs import --dry-run /backup/photos photos     is the backup whole?
`;
