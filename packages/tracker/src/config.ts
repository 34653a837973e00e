/**
 * The one frozen configuration of a tracker: file, then environment, then flags (spec appendix C).
 * Names are those of the original; what this version cannot honour is said at the start, and an
 * unknown flag refuses the start.
 */
import { availableParallelism, hostname } from 'node:os';
import { parseArgs } from 'node:util';
import { isTrue } from '@omgfs/protocol';
import { readConfigFile } from './config-file.ts';
import {
  davMode,
  downloadShape,
  fakeUtilization,
  listenAddresses,
  localNetwork,
  logLevel,
  networks,
  type Readers,
  readers,
  tempfileAge,
} from './config-values.ts';
import type { DavMode } from './dav/mode.ts';
import type { AccessRules } from './http/access.ts';
import type { DownloadShape } from './http/files/download.ts';
import { optionTable, type TrackerOption } from './options.ts';
import type { ListenAddress } from './server/line-server.ts';

export interface TrackerConfig {
  listen: readonly ListenAddress[];
  dsn: string;
  dbUser: string;
  dbPassword: string;
  /** Create or complete the schema when it is missing. */
  createSchema: boolean;
  /** Whether queues are worked off here from the start (spec §5.6). */
  jobMaster: boolean;
  replicateJobs: number;
  deleteJobs: number;
  fsckJobs: number;
  reaperJobs: number;
  /** Name of this machine, as `fsck_host` and `rebal_host` keep it. */
  hostname: string;
  /** MiB a device must have free to take new files. */
  freeSpaceMinMb: number;
  mindevcountDefault: number;
  /** Orders by network zone (spec §6.7). */
  zoneLocal: boolean;
  localNetwork: string | undefined;
  nodeTimeoutMs: number;
  connTimeoutMs: number;
  connectionsPerHost: number;
  /** Port of the side channel of every storage node; undefined for none. */
  sideChannelPort: number | undefined;
  /** Storage nodes fetch replicas from each other where they may. */
  nodeToNode: boolean;
  /** Signs URLs of storage nodes; undefined leaves them as they are. */
  urlSecret: string | undefined;
  urlTtlSeconds: number;
  connectionsMax: number;
  /** Processes that answer clients; 0 does all work in one process. */
  queryProcesses: number;
  /** How many query workers one process stands for in `!jobs`. */
  queryWorkers: number;
  /** The arguments as they were given, for the processes that this one starts. */
  args: readonly string[];
  /** Age from which an unclosed upload is given up, in seconds. */
  tempfileAgeSeconds: number;
  /** Hooks of the original's test-suite are on: failed replications are tried again at once. */
  testing: boolean;
  /** By devid, instead of what storage nodes measure. */
  fakeUtilization: ReadonlyMap<number, string>;
  pidfile: string | undefined;
  daemonize: boolean;
  /** PATH of the environment. */
  path: string;
  /** Addresses of the HTTP API; none turns it off. */
  httpListen: readonly ListenAddress[];
  httpAccess: AccessRules;
  /** How the HTTP API answers downloads. */
  httpDownload: DownloadShape;
  /** Domains as WebDAV shares, on the addresses of the HTTP API. */
  httpDav: DavMode;
  /** Longest upload to the HTTP API, in bytes; undefined for no limit. */
  httpUploadBytesMax: number | undefined;
  /** How long an upload in parts is kept after the last of them, in seconds. */
  resumeSeconds: number;
  /** Files that are read or stored by HTTP at once. */
  httpTransfersMax: number;
  /** Bytes a second that their clients must send or take, over a window; 0 for any. */
  httpPace: { rateMin: number; windowMs: number };
  logLevel: string;
  /** Sentences about options that are accepted but without effect. */
  warnings: readonly string[];
}

/** What the command line asks for. */
export type CommandLine =
  | { action: 'run'; config: TrackerConfig }
  | { action: 'help'; text: string }
  | { action: 'refuse'; reason: string };

const queryProcessesDefault = 4;
const queryProcessesMax = 100;
const bytesPerMb = 1024 * 1024;
const configFileDefault = '/etc/mogilefs/mogilefsd.conf';

/** Reads arguments, the file they name and the environment; a mistake of a person is refused. */
export function readConfig(argv: readonly string[], env = process.env): CommandLine {
  try {
    const flags = readFlags(argv);
    if (flags.has('help')) return { action: 'help', text: helpText() };
    const file = readFile(flags, env);
    const values = new Map([...file.values, ...flags]);
    const config = buildConfig(values, env);
    const warnings = [...config.warnings, ...file.warnings];
    return { action: 'run', config: Object.freeze({ ...config, warnings, args: argv }) };
  } catch (error) {
    return { action: 'refuse', reason: error instanceof Error ? error.message : String(error) };
  }
}

/** Who names these wants to keep others out: with nothing in them everybody would come in. */
const guards = ['url_secret', 'http_token', 'http_read_token', 'http_allow'];

function readFlags(argv: readonly string[]): Map<string, string> {
  const options: Record<string, { type: 'string' | 'boolean'; short?: string }> = {};
  const names = new Map<string, TrackerOption>();
  for (const option of optionTable) {
    const type = option.kind === 'flag' ? 'boolean' : 'string';
    for (const [index, flag] of [...option.flags, option.name].entries()) {
      options[flag] = { type, ...(index === 0 && option.short ? { short: option.short } : {}) };
      names.set(flag, option);
    }
  }
  // The original's parser takes dashes for underscores and `no_` or `no-` before a flag.
  const args = argv
    .map((arg) => arg.replace(/^--[a-z_-]+/, (flag) => `--${fullName(flag.slice(2), names)}`))
    .map((arg, index, all) => {
      const option = names.get(arg.slice(2));
      const hasValue = all[index + 1]?.startsWith('-') === false;
      return option?.valueOptional === true && !hasValue ? `${arg}=` : arg;
    });
  const { tokens } = parseArgs({ args, options, strict: false, tokens: true });
  const values = new Map<string, string>();
  for (const token of tokens) {
    if (token.kind === 'option-terminator') continue;
    if (token.kind === 'positional') throw new Error(`unexpected argument '${token.value}'`);
    const negated = names.get(token.name.replace(/^no_?/, ''));
    const option = names.get(token.name);
    if (option === undefined && negated?.kind !== 'flag') {
      throw new Error(`unknown option ${token.rawName}; see --help`);
    }
    const { name, kind } = (option ?? negated) as TrackerOption;
    if (kind !== 'flag' && token.value === undefined) throw new Error(`--${name} needs a value`);
    const value = option ? (token.value ?? '1') : '0';
    const before = values.get(name);
    values.set(name, before !== undefined && isList(name) ? `${before},${value}` : value);
  }
  return values;
}

/** Names may be cut as long as they stay clear, as the original's parser allows (Getopt::Long). */
function fullName(given: string, names: ReadonlyMap<string, TrackerOption>): string {
  const name = given.replaceAll('-', '_');
  const flag = names.get(name.replace(/^no_?/, ''))?.kind === 'flag';
  if (name === '' || names.has(name) || flag) return name;
  const meant = [...names].filter(([full]) => full.startsWith(name));
  const options = new Set(meant.map(([, option]) => option));
  return options.size === 1 ? (meant[0]?.[0] ?? name) : name;
}

function readFile(flags: Map<string, string>, env: NodeJS.ProcessEnv) {
  if (flags.has('skipconfig')) return { values: new Map<string, string>(), warnings: [] };
  const named = flags.get('config') ?? env.MOGILEFSD_CONFIG;
  return readConfigFile(named ?? configFileDefault, { required: named !== undefined });
}

function buildConfig(
  values: ReadonlyMap<string, string>,
  env: NodeJS.ProcessEnv,
): Omit<TrackerConfig, 'args'> {
  for (const name of guards) {
    if (!/^[\s,]*$/.test(values.get(name) ?? 'unset')) continue;
    throw new Error(`${name} is empty; leave it out where everybody is to be let in`);
  }
  const { text, number, on } = readers(values);
  const plugins = text('plugins').split(/[\s,]+/);
  const queries = {
    exactly: values.has('query_processes') ? number('query_processes') : undefined,
    wished: values.has('query_jobs') ? number('query_jobs') : undefined,
    dsn: text('db_dsn'),
  };
  // The environment hooks of the original's test-suite (spec §10).
  const testing = isTrue(env.TESTING);
  return {
    listen: listenAddresses('listen', text('listen'), number('conf_port')),
    dsn: text('db_dsn'),
    dbUser: text('db_user'),
    dbPassword: text('db_pass'),
    createSchema: on('create_schema'),
    jobMaster: on('job_master'),
    replicateJobs: number('replicate_jobs'),
    deleteJobs: number('delete_jobs'),
    fsckJobs: number('fsck_jobs'),
    reaperJobs: number('reaper_jobs'),
    hostname: hostname(),
    freeSpaceMinMb: number('min_free_space'),
    mindevcountDefault: number('default_mindevcount'),
    zoneLocal: plugins.includes('ZoneLocal'),
    localNetwork: localNetwork(text('local_network')),
    nodeTimeoutMs: number('node_timeout') * 1000,
    connTimeoutMs: number('conn_timeout') * 1000,
    connectionsPerHost: Math.max(1, number('conn_pool_size')),
    sideChannelPort: number('mogstored_stream_port') || undefined,
    nodeToNode: on('node_to_node'),
    urlSecret: text('url_secret') || undefined,
    urlTtlSeconds: Math.max(1, number('url_ttl')),
    connectionsMax: Math.max(1, number('max_connections')),
    queryProcesses: queryProcesses(queries),
    queryWorkers: queries.wished ?? 1,
    tempfileAgeSeconds: tempfileAge(env.T_TEMPFILE_TOO_OLD),
    testing,
    fakeUtilization: testing ? fakeUtilization(env) : new Map(),
    pidfile: text('pidfile') || undefined,
    daemonize: on('daemonize'),
    path: env.PATH ?? '',
    ...httpConfig({ text, number }),
    logLevel: on('debug') || isTrue(env.DEBUG) ? 'debug' : logLevel(text('log_level')),
    warnings: [...warningsOf({ values, plugins, testing }), ...fewerProcesses(queries)],
  };
}

function httpConfig({ text, number }: Pick<Readers, 'text' | 'number'>) {
  return {
    httpListen:
      text('http_listen') === '' ? [] : listenAddresses('http_listen', text('http_listen'), 7003),
    httpAccess: {
      token: text('http_token') || undefined,
      readToken: text('http_read_token') || undefined,
      networks: networks(text('http_allow')),
      hostname: hostname(),
    },
    httpDownload: downloadShape(text('http_download')),
    resumeSeconds: Math.max(1, Math.ceil(number('http_resume_hours') * 3600)),
    httpTransfersMax: Math.max(1, number('http_transfers')),
    httpPace: {
      rateMin: Math.max(0, number('http_min_rate')),
      windowMs: Math.max(1, number('http_min_rate_seconds')) * 1000,
    },
    httpDav: davMode(text('http_dav')),
    httpUploadBytesMax: number('http_upload_mb') * bytesPerMb || undefined,
  };
}

function warningsOf(given: {
  values: ReadonlyMap<string, string>;
  plugins: readonly string[];
  testing: boolean;
}): string[] {
  const { values, plugins, testing } = given;
  const foreign = plugins.filter((name) => name !== '' && name !== 'ZoneLocal');
  return [
    ...optionTable
      .filter((option) => option.unused !== undefined && values.has(option.name))
      .map((option) => `option ${option.name} has no effect: ${option.unused}`),
    ...foreign.map((name) => `plugin ${name} has no effect: Perl plugins cannot be loaded`),
    ...(testing ? ['TESTING is set: failed replications are tried again after a second'] : []),
  ];
}

interface QueryWishes {
  exactly: number | undefined;
  wished: number | undefined;
  dsn: string;
}

/**
 * One process is best where there are few processors to share with the database, and for SQLite,
 * which has one writer. `query_jobs` of old files counts blocking Perl workers, 20 of them.
 */
function queryProcesses({ exactly, wished, dsn }: QueryWishes): number {
  if (exactly !== undefined) return Math.min(queryProcessesMax, Math.floor(exactly));
  const processors = availableParallelism();
  if (/^DBI:SQLite/i.test(dsn) || processors <= 2) return 0;
  return Math.max(1, Math.min(wished ?? queryProcessesDefault, processors - 1));
}

/** Says that fewer are started than the option asks for; each takes any number of requests. */
function fewerProcesses(wishes: QueryWishes): string[] {
  const { exactly, wished } = wishes;
  const started = queryProcesses(wishes);
  if (exactly !== undefined || wished === undefined || wished <= Math.max(1, started)) return [];
  const instead = started === 0 ? 'one process does all work' : `${started} are started`;
  const advice = 'each answers many requests at once; query_processes sets another number';
  return [`option query_jobs asks for ${wished} query processes, ${instead}: ${advice}`];
}

/** Options that may be given again, each time for one more value. */
function isList(name: string): boolean {
  return ['listen', 'http_listen', 'http_allow', 'plugins'].includes(name);
}

function helpText(): string {
  const lines = optionTable.map((option) => {
    const short = option.short ? `-${option.short}, ` : '    ';
    const name = option.flags[0] ?? option.name;
    const value = option.kind === 'flag' ? '' : ` ${option.kind}`;
    const fallback = option.fallback ? ` [${option.fallback}]` : '';
    return `  ${`${short}--${name}${value}`.padEnd(32)} ${option.help}${fallback}`;
  });
  return [
    'mogilefsd: an omgfs tracker. It answers clients on the line protocol and runs the jobs.',
    '',
    'usage: mogilefsd [options]',
    '',
    ...lines,
    '',
    `Without --skipconfig it reads ${configFileDefault} first (name = value); flags win.`,
    '',
    'Try it:  mogilefsd --skipconfig --create_schema --dsn DBI:SQLite:/tmp/omgfs.sqlite',
    '',
  ].join('\n');
}
