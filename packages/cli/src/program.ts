/** The command line of `omgfs`: names, arguments, help. Each command is a module of its own. */
import { type Client, createClient } from '@omgfs/client';
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { getCommand } from './commands/get.ts';
import { infoCommand, listCommand, removeCommand, renameCommand } from './commands/keys.ts';
import { putCommand } from './commands/put.ts';
import { upCommand } from './commands/up.ts';
import { findTarget, stateDirDefault } from './config.ts';
import { demoCommand } from './demo/demo.ts';
import { printError } from './output.ts';

/** Exit codes: 0 done, 1 failed, 2 wrong usage. */
export const exitCodes = { done: 0, failed: 1, usage: 2 } as const;

interface GlobalOptions {
  tracker?: string;
  domain?: string;
  json: boolean;
}

/** Runs one command line. @returns the exit code; it never throws. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  const program = createProgram();
  try {
    await program.parseAsync([...argv], { from: 'user' });
    return exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    }
    printError(error, { json: program.opts<GlobalOptions>().json });
    return exitCodes.failed;
  }
}

function createProgram(): Command {
  const program = new Command('omgfs')
    .description('Store, find and serve files in an omgfs or MogileFS cluster.')
    .option('-t, --tracker <host:port,…>', 'trackers (or OMGFS_TRACKERS)')
    .option('-d, --domain <name>', 'domain of the keys (or OMGFS_DOMAIN)')
    .option('--json', 'machine-readable output, one JSON value a line', false)
    .addHelpText('after', examples)
    .exitOverride()
    .showHelpAfterError('(see omgfs --help)');
  const withClient =
    <Arguments extends unknown[]>(
      work: (client: Client, global: GlobalOptions, ...args: Arguments) => Promise<void>,
    ) =>
    async (...args: Arguments) => {
      const global = program.opts<GlobalOptions>();
      const client = createClient(findTarget(global));
      try {
        await work(client, global, ...args);
      } finally {
        await client.close();
      }
    };
  addFileCommands(program, withClient);
  addClusterCommands(program);
  return program;
}

type WithClient = <Arguments extends unknown[]>(
  work: (client: Client, global: GlobalOptions, ...args: Arguments) => Promise<void>,
) => (...args: Arguments) => Promise<void>;

function addFileCommands(program: Command, withClient: WithClient): void {
  program
    .command('put <source> [key]')
    .description("store a file, '-' for standard input, or with -r all files below a directory")
    .option('-c, --class <name>', 'class of the files')
    .option('-r, --recursive', 'store a directory; key is then a prefix')
    .option('-j, --jobs <n>', 'files at once', positive, 8)
    .action(
      withClient((client, { json }, source: string, key: string | undefined, options) =>
        putCommand(client, source, key, { ...(options as { jobs: number }), json }),
      ),
    );
  program
    .command('get <key> [file]')
    .description("fetch a file; '-' writes to standard output")
    .action(
      withClient((client, { json }, key: string, file: string | undefined) =>
        getCommand(client, key, file, { json }),
      ),
    );
  program
    .command('ls [prefix]')
    .description('list keys')
    .option('-l, --long', 'with length, copies and class')
    .option('-n, --limit <n>', 'at most so many', positive)
    .action(
      withClient((client, { json }, prefix: string | undefined, options) =>
        listCommand(client, prefix ?? '', { ...(options as object), json }),
      ),
    );
  program
    .command('info <key>')
    .description('what the trackers know of a file, and where its replicas are')
    .action(withClient((client, { json }, key: string) => infoCommand(client, key, { json })));
  program
    .command('rm <keys...>')
    .description('remove files')
    .option('-f, --force', 'a key that is not there is no failure')
    .action(
      withClient((client, { json }, keys: string[], options) =>
        removeCommand(client, keys, { ...(options as object), json }),
      ),
    );
  program
    .command('mv <from> <to>')
    .description('give a file another key; never overwrites')
    .action(
      withClient((client, { json }, from: string, to: string) =>
        renameCommand(client, from, to, { json }),
      ),
    );
}

function addClusterCommands(program: Command): void {
  const hosts = () => new Option('--hosts <n>', 'storage nodes').argParser(positive).default(3);
  const devices = () =>
    new Option('--devices <n>', 'devices of each node').argParser(positive).default(2);
  const dir = () => new Option('--dir <path>', 'state directory').default(stateDirDefault);
  const portBase = () =>
    new Option('--port-base <n>', 'first port of a new state directory; 0 takes free ones')
      .argParser(natural)
      .default(7000);
  program
    .command('up')
    .description('run a whole cluster on this machine until Ctrl-C')
    .addOption(dir())
    .addOption(hosts())
    .addOption(devices())
    .addOption(portBase())
    .action((options) => {
      const { json, domain = 'files' } = program.opts<GlobalOptions>();
      return upCommand({ ...options, json, domain });
    });
  program
    .command('demo [tree]')
    .description('boot a cluster, store a directory tree, lose a node, read everything back')
    .option('--once', 'end when it is done, with exit code 0 or 1')
    .addOption(dir())
    .addOption(hosts())
    .addOption(devices())
    .addOption(portBase())
    .action((tree: string | undefined, options) => {
      const { domain = 'demo' } = program.opts<GlobalOptions>();
      return demoCommand({ ...options, tree, domain });
    });
}

function positive(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a number above 0.');
  return Number(text);
}

function natural(text: string): number {
  if (!/^\d{1,5}$/.test(text)) throw new InvalidArgumentError('It must be a number.');
  return Number(text);
}

const examples = `
Examples:
  omgfs up                                   a cluster to play with, state in ./.omgfs
  omgfs put photo.jpg album/1.jpg            store a file
  omgfs put -r ./pictures album/             store a tree
  tar c . | omgfs put - backup.tar           store standard input
  omgfs get album/1.jpg - | sha1sum          read it back
  omgfs ls -l album/                         keys, lengths, copies
  omgfs --json info album/1.jpg              for scripts

Exit codes: 0 done, 1 failed, 2 wrong usage.
`;
