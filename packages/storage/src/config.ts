/**
 * The one frozen configuration of a storage node: file, then environment, then flags (spec §8.4).
 * An unknown option refuses the start; one of the original that this version cannot honour is said
 * in a warning.
 */
import { readFileSync } from 'node:fs';
import type { BlockList } from 'node:net';
import type { AccessRules } from './access/access.ts';
import { parseNetworks } from './access/networks.ts';
import { devidOf } from './http/path.ts';
import type { NginxPlan } from './nginx/nginx-config.ts';
import { type OptionName, optionNamed, optionTable } from './options.ts';

export interface StorageConfig {
  docroot: string;
  httpHost: string;
  httpPort: number;
  /** Address of the side channel; undefined turns it off. */
  management: { host: string; port: number } | undefined;
  /** Address that answers `/metrics`; undefined turns it off. */
  metrics: { host: string; port: number } | undefined;
  /** Measure how busy disks are while somebody watches. */
  iostat: boolean;
  /** Who serves the bytes: this process, an nginx it runs, or a server somebody else runs. */
  server: 'own' | 'nginx' | 'none';
  nginx: Pick<NginxPlan, 'workers' | 'links'> & { program: string | undefined; path: string };
  access: AccessRules;
  /** Networks of `access` as they were written, for an nginx in front. */
  allow: readonly string[];
  /** Serves over TLS as well. */
  tls: { host: string; port: number; cert: string; key: string } | undefined;
  /** WebDAV methods besides what trackers need. */
  dav: 'off' | 'readonly' | 'full';
  connectionsMax: number;
  /** When a PUT is answered: after its bytes are on the disk, or before. */
  sync: 'always' | 'batch' | 'never';
  /** Threads for system calls; libuv reads them from UV_THREADPOOL_SIZE before anything else. */
  threads: number;
  freeReserveMb: number;
  /** How much of each device is read a second to find corrupt files; 0 turns it off. */
  scrubMb: number;
  /** How long an upload in pieces is kept without another piece. */
  piecesHours: number;
  /** Devids whose present disk is accepted whatever was there before. */
  adopt: readonly number[];
  /** A connection on which nothing moves is closed after this long. */
  stallMs: number;
  /** How often devices are looked for and usage files are written. */
  sweepMs: number;
  /** How long requests in flight may take to finish when the node is closed. */
  closeGraceMs: number;
  pidfile: string | undefined;
  daemonize: boolean;
  /** PATH of the environment. */
  path: string;
  logLevel: string;
  /** Sentences about options that are accepted but without effect. */
  warnings: readonly string[];
}

/** What a node without any option does, but for the docroot. */
export const storageDefaults: Readonly<Omit<StorageConfig, 'docroot'>> = {
  httpHost: '0.0.0.0',
  httpPort: 7500,
  management: undefined,
  metrics: undefined,
  iostat: true,
  access: { networks: [], secrets: [], pull: true },
  allow: [],
  tls: undefined,
  server: 'own',
  nginx: { program: undefined, path: '', workers: 'auto', links: 'refuse' },
  dav: 'off',
  connectionsMax: 10_000,
  sync: 'always',
  threads: uvThreads(process.env),
  freeReserveMb: 100,
  scrubMb: 2,
  piecesHours: 24,
  adopt: [],
  stallMs: 60_000,
  // As in the original (spec §8.2).
  sweepMs: 10_000,
  closeGraceMs: 10_000,
  pidfile: undefined,
  daemonize: false,
  path: '',
  logLevel: 'info',
  warnings: [],
};

/** The size of libuv's pool, which is four unless the environment says otherwise. */
function uvThreads({ UV_THREADPOOL_SIZE: text }: NodeJS.ProcessEnv): number {
  return Math.min(1024, Math.max(1, Number(text ?? 4) || 1));
}

/** What the command line asks for. */
export type CommandLine =
  | { action: 'run'; config: StorageConfig }
  | { action: 'help'; text: string }
  | { action: 'refuse'; reason: string };

const configFileDefault = '/etc/mogilefs/mogstored.conf';
const logLevels = ['error', 'warn', 'info', 'debug'];

/** Who names these wants to keep others out: with nothing in them everybody would come in. */
const guards: readonly OptionName[] = ['allow', 'url-secret'];

type Values = Map<OptionName, string>;

/** Reads arguments, the file they name and the environment; a mistake of a person is refused. */
export function readConfig(argv: readonly string[], env = process.env): CommandLine {
  try {
    const flags = readFlags(argv);
    if (flags.has('help')) return { action: 'help', text: helpText() };
    const environment = readEnvironment(env);
    const named = flags.get('config') ?? environment.get('config');
    const skip = flags.has('skipconfig') || environment.has('skipconfig');
    const file: Values = skip ? new Map() : readFile(named);
    const values = new Map([...file, ...environment, ...flags]);
    return { action: 'run', config: Object.freeze(buildConfig(values, env)) };
  } catch (error) {
    return { action: 'refuse', reason: error instanceof Error ? error.message : String(error) };
  }
}

/** `--name value`, `--name=value`, `-x`; a name may be shortened while it is unambiguous. */
function readFlags(argv: readonly string[]): Values {
  const values: Values = new Map();
  for (let at = 0; at < argv.length; at += 1) {
    const argument = argv[at] ?? '';
    const match = /^(--?)([A-Za-z][\w-]*)(?:=(.*))?$/s.exec(argument);
    if (match === null) throw new Error(`unexpected argument '${argument}'; see --help`);
    const [, dashes, text = '', given] = match;
    const short = optionTable.find((option) => dashes === '-' && option.short === text);
    const negated = short === undefined ? flagDenied(text) : undefined;
    if (negated !== undefined) {
      set(values, negated, '0');
      continue;
    }
    const option = short ?? optionNamed(text);
    if (option.kind === 'flag') {
      set(values, option.name, given ?? '1');
      continue;
    }
    const value = given ?? argv[at + 1];
    if (value === undefined) throw new Error(`--${option.name} needs a value (${option.kind})`);
    if (given === undefined) at += 1;
    set(values, option.name, value);
  }
  return values;
}

/** `--noiostat` and `--no-iostat` turn a flag off. */
function flagDenied(text: string): OptionName | undefined {
  const denied = /^no-?(.+)$/.exec(text)?.[1];
  return optionTable.find(({ name, kind }) => kind === 'flag' && name === denied)?.name;
}

function set(values: Values, name: OptionName, value: string): void {
  const before = values.get(name);
  values.set(name, name === 'adopt' && before !== undefined ? `${before},${value}` : value);
}

/** `MOGSTORED_` and the name of an option in capitals. */
function readEnvironment(env: NodeJS.ProcessEnv): Values {
  const values: Values = new Map();
  for (const { name } of optionTable) {
    const value = env[`MOGSTORED_${name.toUpperCase().replaceAll('-', '_')}`];
    if (value !== undefined && value !== '') values.set(name, value);
  }
  // The one name of the original (spec §8.4).
  if (env.MOGSTORED_SERVER_TYPE) values.set('server', env.MOGSTORED_SERVER_TYPE);
  return values;
}

/** `name = value` a line; `#` begins a comment; a bare name is a flag. */
function readFile(named: string | undefined): Values {
  const path = named ?? configFileDefault;
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if (named === undefined) return new Map();
    throw new Error(`cannot read the configuration file: ${String(error)}`);
  }
  const values: Values = new Map();
  for (const [index, line] of text.split('\n').entries()) {
    const content = line.replace(/#.*/, '').trim();
    if (content === '') continue;
    const match = /^([A-Za-z][\w-]*)(?:\s*=\s*(.*))?$/.exec(content);
    try {
      if (match === null) throw new Error(`'${content}' is not name = value`);
      set(values, optionNamed(match[1] ?? '').name, match[2] ?? '1');
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new Error(`${path}, line ${index + 1}: ${reason}`);
    }
  }
  return values;
}

function buildConfig(values: Values, env: NodeJS.ProcessEnv): StorageConfig {
  for (const name of guards) {
    if (!values.has(name) || listOf(values.get(name) ?? '').length > 0) continue;
    throw new Error(`${name} is empty; leave it out where everybody is to be served`);
  }
  const text = (name: OptionName): string =>
    values.get(name) ?? optionTable.find((option) => option.name === name)?.fallback ?? '';
  const number = (name: OptionName): number => {
    if (/^\d{1,12}$/.test(text(name))) return Number(text(name));
    throw new Error(`${name} must be a whole number, not '${text(name)}'`);
  };
  return {
    ...storageDefaults,
    docroot: text('docroot'),
    ...httpAddress(listenAddress('httplisten', text('httplisten'))),
    management:
      text('mgmtlisten') === 'none' ? undefined : listenAddress('mgmtlisten', text('mgmtlisten')),
    metrics: values.has('metrics-listen')
      ? listenAddress('metrics-listen', text('metrics-listen'))
      : undefined,
    iostat: isOn('iostat', text('iostat')),
    access: {
      networks: networksOf(text('allow')),
      secrets: listOf(text('url-secret')),
      pull: isOn('pull', text('pull')),
    },
    allow: listOf(text('allow')),
    tls: tlsOf({ listen: text('tls-listen'), cert: text('tls-cert'), key: text('tls-key') }),
    server: serverOf(text('server')),
    nginx: {
      program: text('serverbin') || undefined,
      path: env.PATH ?? '',
      workers: workersOf(text('nginx-workers')),
      links: choice('nginx-links', text('nginx-links'), ['refuse', 'check', 'follow']),
    },
    dav: choice('dav', text('dav'), ['off', 'readonly', 'full']),
    connectionsMax: atLeastOne('maxconns', number('maxconns')),
    sync: choice('sync', text('sync'), ['always', 'batch', 'never']),
    freeReserveMb: number('free-reserve-mb'),
    scrubMb: number('scrub-mb'),
    piecesHours: number('pieces-hours'),
    closeGraceMs: number('stop-seconds') * 1000,
    adopt: adoptedDevids(text('adopt')),
    pidfile: text('pidfile') || undefined,
    daemonize: isOn('daemonize', text('daemonize')),
    path: env.PATH ?? '',
    logLevel: choice('log-level', text('log-level'), logLevels),
    warnings: findWarnings(values, env),
  };
}

function findWarnings(values: Values, env: NodeJS.ProcessEnv): string[] {
  const warnings: string[] = [];
  const server = values.get('server') ?? '';
  if (['lighttpd', 'apache'].includes(server)) {
    warnings.push(`server ${server} is not run by this version: it serves the files itself`);
  }
  for (const name of ['MOG_DEV_USAGE_VIA_DU', 'MOG_IOSTAT_CMD']) {
    if (env[name]) warnings.push(`the environment variable ${name} has no effect in this version`);
  }
  return warnings;
}

function listOf(text: string): string[] {
  return text.split(/[\s,]+/).filter((part) => part !== '');
}

function networksOf(text: string): BlockList[] {
  try {
    return parseNetworks(text);
  } catch (error) {
    throw new Error(`allow: ${error instanceof Error ? error.message : String(error)}`);
  }
}

function tlsOf(named: { listen: string; cert: string; key: string }): StorageConfig['tls'] {
  if (named.listen === '') return undefined;
  const read = (option: 'tls-cert' | 'tls-key', file: string): string => {
    if (file === '') throw new Error(`tls-listen needs ${option}`);
    try {
      return readFileSync(file, 'utf8');
    } catch (error) {
      throw new Error(`cannot read ${option}: ${String(error)}`);
    }
  };
  const { host, port } = listenAddress('tls-listen', named.listen);
  return { host, port, cert: read('tls-cert', named.cert), key: read('tls-key', named.key) };
}

/** The names of the original; those of servers it could run and we do not run are ours. */
function serverOf(text: string): StorageConfig['server'] {
  const known = ['own', 'perlbal', 'lighttpd', 'apache', 'nginx', 'none'] as const;
  const name = choice('server', text, known);
  return name === 'nginx' || name === 'none' ? name : 'own';
}

function workersOf(text: string): string {
  if (/^(?:auto|[1-9]\d{0,2})$/.test(text)) return text;
  throw new Error(`nginx-workers must be a number or auto, not '${text}'`);
}

function atLeastOne(name: OptionName, value: number): number {
  if (value >= 1) return value;
  throw new Error(`${name} must be at least 1`);
}

function choice<const T extends string>(name: OptionName, value: string, of: readonly T[]): T {
  const found = of.find((word) => word === value);
  if (found !== undefined) return found;
  throw new Error(`${name} must be one of ${of.join(', ')}, not '${value}'`);
}

function httpAddress({ host, port }: { host: string; port: number }) {
  return { httpHost: host, httpPort: port };
}

function listenAddress(name: OptionName, text: string): { host: string; port: number } {
  const match = /^(?:(\[[0-9A-Fa-f:.]+\]|[^:[\]\s]+):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65_535) {
    throw new Error(`${name} must be [ip:]port, not '${text}'`);
  }
  const host = match[1] ?? storageDefaults.httpHost;
  return { host: host.replace(/^\[|\]$/g, ''), port };
}

function adoptedDevids(text: string): number[] {
  if (text === '') return [];
  return text.split(',').map((name) => {
    const devid = devidOf(name.trim());
    if (devid === undefined) throw new Error(`adopt must name a device like dev3, not '${name}'`);
    return devid;
  });
}

function isOn(name: OptionName, text: string): boolean {
  if (/^(?:1|y|yes|on|true)$/i.test(text)) return true;
  if (/^(?:0|n|no|off|false|)$/i.test(text)) return false;
  throw new Error(`${name} must be 1 or 0, not '${text}'`);
}

function helpText(): string {
  const lines = optionTable.map((option) => {
    const short = option.short ? `-${option.short}, ` : '    ';
    const value = option.kind === 'flag' ? '' : ` ${option.kind}`;
    const fallback = option.fallback ? ` [${option.fallback}]` : '';
    return `  ${`${short}--${option.name}${value}`.padEnd(28)} ${option.help}${fallback}`;
  });
  return [
    'mogstored: an omgfs storage node. It serves the files below docroot/devN over HTTP.',
    '',
    'usage: mogstored [options]',
    '',
    ...lines,
    '',
    `Without --skipconfig it reads ${configFileDefault} first (name = value);`,
    'then MOGSTORED_<OPTION> from the environment; flags win.',
    '',
    'Each device needs an existing directory devN; new ones are noticed without a restart. A',
    'device gets an identity file when it is first seen; a directory whose disk is not mounted, or',
    'holds another disk than before, is refused with 503 until the disk is back or was adopted.',
    '',
    'Try it:  mkdir -p /tmp/omgfs/dev1 &&',
    '         mogstored --skipconfig --docroot /tmp/omgfs \\',
    '           --httplisten 127.0.0.1:7500 --mgmtlisten 127.0.0.1:7501',
    '         curl -T README.md http://127.0.0.1:7500/dev1/hello && \\',
    '         curl http://127.0.0.1:7500/dev1/hello',
    '',
  ].join('\n');
}
