/** `omgfs admin verify`. */
import { OmgfsError } from '@omgfs/protocol';
import type { Command } from 'commander';
import { withInterrupt } from '../interrupt.ts';
import { numberAbove } from '../numbers.ts';
import { createProgress, printJson, printLine, shownKey } from '../output.ts';
import type { Finding } from '../verify/findings.ts';
import { readManifest, verifyManifest } from '../verify/manifest.ts';
import { ReplicaReader } from '../verify/replica-reader.ts';
import { findStrays } from '../verify/strays.ts';
import { type VerifyOptions, verifyFiles } from '../verify/verify.ts';
import type { AdminContext, WithAdmin } from './context.ts';

interface Flags {
  checksums?: boolean;
  manifest?: string;
  docroot: string[];
  jobs: number;
}

export function addVerifyCommand(admin: Command, withAdmin: WithAdmin): void {
  const collect = (value: string, before: string[]) => [...before, value];
  admin
    .command('verify')
    .description('compare the database with the devices, and with what clients were told')
    .option('--checksums', 'read every replica whose checksum is known')
    .option('--manifest <file>', 'JSON lines with domain, key, length and checksum of stored files')
    .option('--docroot <dir>', 'look for unknown files on disks here; repeatable', collect, [])
    .option('-j, --jobs <n>', 'files at once', numberAbove(0), 16)
    .addHelpText('after', explanation)
    .action(
      withAdmin((context, flags: Flags) =>
        withInterrupt((signal) => verify(context, flags, signal)),
      ),
    );
}

async function verify(context: AdminContext, flags: Flags, signal: AbortSignal): Promise<void> {
  const { admin, json } = context;
  const manifest = flags.manifest === undefined ? [] : await readManifest(flags.manifest);
  const reader = new ReplicaReader({ connectionsPerHost: flags.jobs });
  const counts = { bad: 0, notice: 0 };
  const progress = createProgress({ label: 'verifying', unit: 'items', total: undefined, json });
  const options: VerifyOptions = {
    checksums: flags.checksums ?? false,
    concurrency: flags.jobs,
    signal,
    onProgress: (items) => progress.add({ items }),
    onFinding: (found) => {
      counts[found.severity] += 1;
      if (json) printJson(found);
      else printLine(describe(found));
    },
  };
  let files: number;
  try {
    files = await verifyFiles({ admin, reader }, options);
    await verifyManifest({ admin, reader }, manifest, options);
    for (const docroot of flags.docroot) await findStrays(admin, docroot, options);
  } finally {
    progress.stop();
    reader.close();
  }
  const summary = `${files} files, ${manifest.length} acknowledged`;
  if (counts.bad > 0) {
    const advice = "'omgfs admin fsck reset' and 'fsck start' look closer and repair";
    const message = `${summary}: ${counts.bad} things are wrong; ${advice}`;
    throw new OmgfsError('FAILURE', { message });
  }
  if (!json) printLine(`${summary}: nothing is wrong (${counts.notice} notices).`);
}

function describe({ severity, kind, fid, domain, key, detail }: Finding): string {
  const what = key === null ? '' : ` ${domain}:${shownKey(key)}`;
  const number = fid === null ? '' : ` fid ${fid}`;
  return `${severity === 'bad' ? 'BAD   ' : 'notice'} ${kind}${number}${what}: ${detail}`;
}

const explanation = `
Finds copies that are missing, short or changed, files with too few copies, files that clients were
told were stored and that are not there, and files on disks that the database does not know. It
changes nothing. What a device could not be asked is a notice. Exit code 1 when something is wrong.

Examples:
  omgfs admin verify
  omgfs admin verify --checksums --manifest acknowledged.jsonl
  omgfs --json admin verify --docroot /var/mogdata
`;
