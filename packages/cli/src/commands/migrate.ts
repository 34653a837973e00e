/** `omgfs migrate`: from another cluster of MogileFS or omgfs, while it is in use. */
import { OmgfsError } from '@omgfs/protocol';
import { Argument, type Command } from 'commander';
import { withInterrupt } from '../interrupt.ts';
import { migrate } from '../migrate/clusters/migration.ts';
import { verifyClusters } from '../migrate/clusters/verification.ts';
import { Throttle } from '../migrate/throttle.ts';
import { byteRate, numberAbove } from '../numbers.ts';

interface Flags {
  from: string;
  to: string;
  parallel: number;
  bandwidth?: number;
  delete?: boolean;
  allowEmpty?: boolean;
  overwrite?: boolean;
  dryRun?: boolean;
  watch?: boolean;
  interval: number;
  state?: string;
  verify?: boolean;
  bytes?: boolean;
}

/** @param global what was said before or behind the command; a domain may be named repeatedly. */
export function addMigrateCommand(
  program: Command,
  global: () => { domains: readonly string[]; json: boolean },
): void {
  program
    .command('migrate')
    .addArgument(new Argument('[action]', 'copy, or only verify').choices(['copy', 'verify']))
    .description('copy domains (-d a, -d a=b; all by default) from another cluster, while in use')
    .requiredOption('--from <host:port,…>', 'trackers of the source; it is never changed')
    .requiredOption('--to <host:port,…>', 'trackers of the target')
    .option('-j, --parallel <n>', 'files at once', numberAbove(0), 16)
    .option('--bandwidth <rate>', 'bytes a second at most, like 20M', byteRate)
    .option('--delete', 'remove copies of files that were deleted at the source')
    .option('--allow-empty', 'with --delete, also when the source has no keys left')
    .option('--overwrite', 'replace files at the target that no migration wrote')
    .option('-n, --dry-run', 'only say what a round would copy and remove')
    .option('--watch', 'go on until Ctrl-C')
    .option('--interval <seconds>', 'with --watch, between two rounds', numberAbove(0), 10)
    .option('--state <dir>', 'what was copied; by default .omgfs-migrate-… in this directory')
    .option('--verify', 'compare both clusters afterwards')
    .option('--bytes', 'compare by reading all files of both, not only length and checksum')
    .addHelpText('after', explanation)
    .action((action: 'copy' | 'verify' | undefined, flags: Flags) =>
      withInterrupt((signal) => run(action ?? 'copy', { ...flags, ...global() }, signal)),
    );
}

async function run(
  action: 'copy' | 'verify',
  { state, interval, ...flags }: Flags & { domains: readonly string[]; json: boolean },
  signal: AbortSignal,
): Promise<void> {
  const [from, to] = [flags.from, flags.to].map((list) => {
    return list.split(',').map((address) => address.trim());
  });
  if (from === undefined || to === undefined) return;
  if (flags.watch && (flags.verify || action === 'verify')) {
    throw new OmgfsError('BAD_ARGS', { message: '--watch never ends, so it cannot verify' });
  }
  if (flags.dryRun && (flags.watch || flags.verify || action === 'verify')) {
    const message = '--dry-run copies nothing; leave --watch and verifying out';
    throw new OmgfsError('BAD_ARGS', { message });
  }
  const options = { ...flags, from, to, signal, throttle: new Throttle(flags.bandwidth, signal) };
  if (action === 'copy') {
    const stateDir = state === undefined ? {} : { stateDir: state };
    await migrate({ ...options, ...stateDir, intervalMs: interval * 1000 });
  }
  if (action === 'verify' || flags.verify) await verifyClusters(options);
}

const explanation = `
Copies in rounds until nothing is new: keys, bytes and classes; domains and classes that are
missing at the target are created. Stopped or killed, the same command goes on. Of a file that is
overwritten at the source the next round copies the new version. Only what a migration wrote is
replaced or removed at the target.

With --dry-run both clusters stay as they are; it says what the first round would copy and remove,
and which domains and classes it would create.

Examples:
  omgfs migrate --from old1:7001,old2:7001 --to new1:7001
  omgfs migrate --from old1:7001 --to new1:7001 -d photos -d docs=archive --bandwidth 50M
  omgfs migrate --from old1:7001 --to new1:7001 --watch --delete
  omgfs migrate verify --from old1:7001 --to new1:7001 --bytes

Exit codes: 0 done or the same, 1 files failed or differ, 2 wrong usage, 130 interrupted.
`;
