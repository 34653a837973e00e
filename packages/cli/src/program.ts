/** The command line of `omgfs`: names, arguments, help. Each command is a module of its own. */
import { type Client, createAdmin, createClient } from '@omgfs/client';
import { OmgfsError, toOmgfsError } from '@omgfs/protocol';
import { Argument, Command, CommanderError, Option } from 'commander';
import type { WithAdmin } from './admin/context.ts';
import { addAdminCommands } from './admin/program.ts';
import { type DoctorFlags, doctorCommand, NotFine } from './commands/doctor.ts';
import { addExportCommand } from './commands/export.ts';
import { getCommand } from './commands/get.ts';
import { getTreeCommand } from './commands/get-tree.ts';
import { addImportCommand } from './commands/import.ts';
import { infoCommand, listCommand, removeCommand, renameCommand } from './commands/keys.ts';
import { addMigrateCommand } from './commands/migrate.ts';
import { type NginxConfigFlags, nginxConfigCommand } from './commands/nginx-config.ts';
import { putCommand } from './commands/put.ts';
import {
  catCommand,
  duCommand,
  type PathsFlags,
  pathsCommand,
  urlCommand,
} from './commands/read.ts';
import { type SyncOptions, syncCommand } from './commands/sync.ts';
import { upCommand } from './commands/up.ts';
import { completionScript, type Shell, shells } from './completion.ts';
import { findDomain, findTarget, findTrackers, stateDirDefault, type Target } from './config.ts';
import { demoCommand } from './demo/demo.ts';
import {
  completionExamples,
  doctorHelp,
  examples,
  getExamples,
  nginxConfigExamples,
  putExamples,
  syncHelp,
} from './help.ts';
import { Interrupted, withInterrupt } from './interrupt.ts';
import { numberAbove, numberWithin } from './numbers.ts';
import { printError, printLine } from './output.ts';

/** What the process ends with. */
export const exitCodes = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

interface GlobalOptions {
  tracker?: string;
  domain?: string;
  json: boolean;
}

/** Runs one command line. @returns the exit code; it never throws. */
export async function runCommandLine(argv: readonly string[]): Promise<number> {
  // Known before the options are parsed, because that may fail.
  const json = argv.includes('--json');
  try {
    await createProgram({ json }).parseAsync([...argv], { from: 'user' });
    return exitCodes.done;
  } catch (error) {
    if (error instanceof CommanderError) {
      return error.exitCode === 0 ? exitCodes.done : exitCodes.usage;
    }
    if (error instanceof Interrupted) {
      process.stderr.write('omgfs: interrupted\n');
      return exitCodes.interrupted;
    }
    if (error instanceof NotFine) return error.exitCode;
    printError(error, { json });
    return toOmgfsError(error).code === 'BAD_ARGS' ? exitCodes.usage : exitCodes.failed;
  }
}

/** All commands; `json` is known before they are parsed. */
export function createProgram({ json }: { json: boolean }): Command {
  // The last one counts, except for the command that takes several.
  const domains: string[] = [];
  const domain = (name: string) => {
    domains.push(name);
    return name;
  };
  const program = new Command('omgfs')
    .description('Store, find and serve files in an omgfs or MogileFS cluster.')
    .option('-t, --tracker <host:port,…>', 'trackers (or OMGFS_TRACKERS)')
    .option('-d, --domain <name>', 'domain of the keys (or OMGFS_DOMAIN)', domain)
    .option('--json', 'machine-readable output, one JSON value a line', false)
    .addHelpText('after', examples)
    .exitOverride()
    .configureOutput({
      outputError: (text, write) => {
        const message = text.trim().replace(/^error: /, '');
        if (json) printError(new OmgfsError('BAD_ARGS', { message }), { json });
        else write(`omgfs: ${message}\n`);
      },
    });
  const withClient: WithClient =
    (work) =>
    async (...args) => {
      const global = program.opts<GlobalOptions>();
      const target = findTarget(global);
      const client = createClient(target);
      try {
        await work(client, global, ...args);
      } catch (error) {
        throw naming(error, target);
      } finally {
        await client.close();
      }
    };
  addFileCommands(program, withClient);
  addKeyCommands(program, withClient);
  addClusterCommands(program);
  addCompletion(program);
  const withAdmin: WithAdmin =
    (work) =>
    async (...args) => {
      const { json, ...flags } = program.opts<GlobalOptions>();
      const trackers = findTrackers(flags);
      const admin = createAdmin({ trackers });
      try {
        const domain = findDomain(flags);
        await work({ admin, trackers, domain, json }, ...args);
      } finally {
        await admin.close();
      }
    };
  addExportCommand(program, withAdmin);
  addImportCommand(program, withAdmin);
  addMigrateCommand(program, () => ({ domains, json: program.opts<GlobalOptions>().json }));
  addNginxConfig(program, withAdmin);
  addAdminCommands(program, withAdmin);
  addDoctor(program);
  if (!json) pointToHelp(program, 'omgfs');
  return program;
}

/** Whoever mistypes a command is shown the help of that command. */
function pointToHelp(command: Command, name: string): void {
  command.showHelpAfterError(`(see '${name} --help')`);
  for (const child of command.commands) pointToHelp(child, `${name} ${child.name()}`);
}

/** The error with the name of the domain, where that is what is wrong. */
function naming(error: unknown, { domain }: Target): unknown {
  if (toOmgfsError(error).code !== 'UNREG_DOMAIN') return error;
  const message = `there is no domain '${domain}'`;
  return new OmgfsError('UNREG_DOMAIN', { message, cause: error });
}

type WithClient = <Arguments extends unknown[]>(
  work: (client: Client, global: GlobalOptions, ...args: Arguments) => Promise<void>,
) => (...args: Arguments) => Promise<void>;

function addFileCommands(program: Command, withClient: WithClient): void {
  program
    .command('put <sources...>')
    .description("store files, with -r all files below directories, or '- KEY' standard input")
    .usage('[options] FILE...\n       omgfs put [options] - KEY')
    .option('-k, --key <key>', 'key of a single file; by default its name')
    .option('-p, --prefix <text>', 'what every key begins with')
    .option('-c, --class <name>', 'class of the files')
    .option('-r, --recursive', 'store directories; the keys are paths below them')
    .option('-j, --jobs <n>', 'files at once', positive, 8)
    .addHelpText('after', putExamples)
    .action(
      withClient((client, { json }, sources: string[], options) =>
        putCommand(client, sources, { ...(options as { jobs: number }), json }),
      ),
    );
  program
    .command('get <key> [target]')
    .description("fetch a file into a file or directory; '-' writes to standard output")
    .option('-r, --recursive', 'take the key for a prefix, and fetch all files below it')
    .option('-j, --jobs <n>', 'files at once', positive, 8)
    .addHelpText('after', getExamples)
    .action(
      withClient((client, { json }, key: string, target: string | undefined, flags: GetFlags) =>
        withInterrupt((signal) =>
          flags.recursive
            ? getTreeCommand(client, key, target ?? '.', { json, jobs: flags.jobs, signal })
            : getCommand(client, key, target, { json, signal }),
        ),
      ),
    );
  program
    .command('sync <dir> [prefix]')
    .description('store what changed in a directory tree under a prefix')
    .option('-c, --class <name>', 'class of the files')
    .option('--checksum', 'compare contents of files that have the same length')
    .option('--delete', 'remove keys below the prefix that have no file')
    .option('-n, --dry-run', 'only say what would be done')
    .option('-j, --jobs <n>', 'files at once', positive, 8)
    .addHelpText('after', syncHelp)
    .action(
      withClient((client, { json }, dir: string, prefix: string | undefined, flags: SyncFlags) =>
        withInterrupt((signal) =>
          syncCommand(client, dir, prefix ?? '', { ...flags, json, signal }),
        ),
      ),
    );
  addReadCommands(program, withClient);
}

interface GetFlags {
  recursive?: boolean;
  jobs: number;
}

type SyncFlags = Omit<SyncOptions, 'json' | 'signal'>;

function addReadCommands(program: Command, withClient: WithClient): void {
  program
    .command('cat <keys...>')
    .description('write files to standard output, one after the other')
    .action(
      withClient((client, _, keys: string[]) =>
        withInterrupt((signal) => catCommand(client, keys, { signal })),
      ),
    );
  program
    .command('paths <key>')
    .description('URLs of the replicas, best first')
    .option('-n, --count <n>', 'at most so many', positive, 16)
    .option('--verify', 'have the tracker ask the devices first')
    .action(
      withClient((client, { json }, key: string, flags: PathsFlags) =>
        pathsCommand(client, key, { ...flags, json }),
      ),
    );
  program
    .command('url <key>')
    .description('the URL to fetch a file from')
    .action(withClient((client, { json }, key: string) => urlCommand(client, key, { json })));
  program
    .command('du [prefix]')
    .description('what the files below a prefix take')
    .option('--depth <n>', 'show parts of the keys down to this depth', natural, 1)
    .action(
      withClient((client, { json }, prefix: string | undefined, flags: { depth: number }) =>
        withInterrupt((signal) => duCommand(client, prefix ?? '', { json, signal, ...flags })),
      ),
    );
}

function addKeyCommands(program: Command, withClient: WithClient): void {
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
  const withClusterOptions = (command: Command) =>
    command
      .option('--dir <path>', 'state directory', stateDirDefault)
      .option('--hosts <n>', 'storage nodes, at least', numberWithin(1, hostsMax), 3)
      .option('--devices <n>', 'devices of each node, at least', positive, 2)
      .option(
        '--port-base <n>',
        'first port of a new state directory; 0 takes free ones',
        numberWithin(0, portBaseMax),
        7000,
      );
  withClusterOptions(program.command('up'))
    .description('run a whole cluster on this machine until Ctrl-C')
    .action((options) => {
      const { json, domain = 'files' } = program.opts<GlobalOptions>();
      return upCommand({ ...options, json, domain });
    });
  withClusterOptions(program.command('demo [tree]'))
    .description('boot a cluster, store a directory tree, lose a node, read everything back')
    .option('--once', 'end when it is done, with exit code 0 or 1')
    .action((tree: string | undefined, options) => {
      const { domain = 'demo' } = program.opts<GlobalOptions>();
      return demoCommand({ ...options, tree, domain });
    });
}

function addNginxConfig(program: Command, withAdmin: WithAdmin): void {
  program
    .command('nginx-config')
    .description('print or write the configuration by which nginx fetches files for an application')
    .option('-o, --out <dir>', 'write all files there; without it, print the part with the hosts')
    .option('--application <address>', 'with --out, a whole nginx.conf before this application')
    .option('--listen <[ip:]port>', 'where that nginx listens', '8000')
    .option(
      '--keepalive <n>',
      'idle connections kept to each storage node, by each worker',
      positive,
      64,
    )
    .option('--cache <dir>', 'nginx keeps files that it fetched there')
    .option('--cache-size <size>', 'of that directory, like 500m or 10g', '10g')
    .option('--answer-cache <dir>', 'nginx keeps answers there of an application that allows it')
    .option('--answer-path <path>', 'what the URLs begin with that this is for', '/files/')
    .addOption(
      new Option('--answers-for <whom>', 'everyone: kept answers that say so go to all users')
        .choices(['user', 'everyone'])
        .default('user'),
    )
    .addHelpText('after', nginxConfigExamples)
    .action(
      withAdmin(({ admin, json }, flags: NginxConfigFlags) =>
        nginxConfigCommand(admin, { ...flags, json }),
      ),
    );
}

function addDoctor(program: Command): void {
  program
    .command('doctor')
    .description('look at a MogileFS database before omgfs takes it over; changes nothing')
    .option('--config <file>', 'a mogilefsd.conf, which names the database and is looked at too')
    .option('--db <dsn>', 'the database, as db_dsn of mogilefsd.conf names it')
    .option('--dbuser <name>', 'as db_user; mogile by default')
    .option('--dbpass <password>', 'as db_pass; empty by default')
    .addHelpText('after', doctorHelp)
    .action((flags: DoctorFlags) => {
      return doctorCommand({ ...flags, json: program.opts<GlobalOptions>().json });
    });
}

function addCompletion(program: Command): void {
  program
    .command('completion')
    .addArgument(new Argument('<shell>').choices(shells))
    .description('print a script that makes a shell complete commands and options')
    .addHelpText('after', completionExamples)
    .action((shell: Shell) => printLine(completionScript(program, shell).trimEnd()));
}

/** Each has a loopback address and processes of its own. */
const hostsMax = 200;
/** Others are up to some hundreds above it. */
const portBaseMax = 60_000;
const positive = numberAbove(0);
const natural = numberAbove(-1);
