/**
 * Every option of `mogilefsd`: those of the original (spec appendix C) and our own. The file uses
 * `name`; the command line takes `name` and the shorter flags. `docs/reference/mogilefsd.md` tells
 * the same to people, and a test compares the two.
 */

export interface TrackerOption {
  name: string;
  flags: readonly string[];
  short?: string;
  /** `flag`, or what the value is. */
  kind: 'flag' | 'TEXT' | 'NUMBER' | 'FILE' | 'ADDRESS';
  fallback?: string;
  /** Of a number, which is a whole one unless `fractions` are allowed; from 0 without a limit. */
  atLeast?: number;
  atMost?: number;
  fractions?: true;
  /** Further names in the file only. */
  fileNames?: readonly string[];
  /** Only for the command line. */
  flagOnly?: true;
  /** The command line takes it without a value too, for an empty one. */
  valueOptional?: true;
  help: string;
  /** Why the option is accepted and does nothing. */
  unused?: string;
}

const table = [
  { name: 'help', flags: [], short: 'h', kind: 'flag', flagOnly: true, help: 'this text' },
  {
    name: 'config',
    flags: [],
    short: 'c',
    kind: 'FILE',
    flagOnly: true,
    help: 'configuration file',
  },
  {
    name: 'skipconfig',
    flags: [],
    short: 's',
    kind: 'flag',
    flagOnly: true,
    help: 'read no configuration file',
  },
  {
    name: 'listen',
    flags: [],
    short: 'l',
    kind: 'ADDRESS',
    fallback: '0.0.0.0',
    help: 'ip[:port] to listen on; repeatable',
  },
  {
    name: 'conf_port',
    flags: ['confport'],
    short: 'p',
    kind: 'NUMBER',
    fallback: '7001',
    atMost: 65_535,
    help: 'port when listen names none',
  },
  {
    name: 'db_dsn',
    flags: ['dsn'],
    kind: 'TEXT',
    fallback: 'DBI:mysql:mogilefs',
    help: 'database, DBI:mysql:NAME;host=H;port=P or DBI:SQLite:FILE',
  },
  { name: 'db_user', flags: ['dbuser'], kind: 'TEXT', fallback: 'mogile', help: 'database user' },
  {
    name: 'db_pass',
    flags: ['dbpass'],
    kind: 'TEXT',
    valueOptional: true,
    help: 'password of the database user',
  },
  {
    name: 'create_schema',
    flags: [],
    kind: 'flag',
    help: 'create the tables when the database has none',
  },
  {
    name: 'replicate_jobs',
    flags: [],
    kind: 'NUMBER',
    fallback: '256',
    help: 'replications that run at once',
  },
  {
    name: 'delete_jobs',
    flags: [],
    kind: 'NUMBER',
    fallback: '8',
    help: 'deletions that run at once',
  },
  {
    name: 'job_master',
    flags: [],
    kind: 'flag',
    fallback: '1',
    help: 'work off queues; with --no_job_master nothing is copied or checked',
  },
  {
    name: 'min_free_space',
    flags: ['minfreespace'],
    kind: 'NUMBER',
    fallback: '100',
    fractions: true,
    help: 'MiB a device must have free to take new files',
  },
  {
    name: 'default_mindevcount',
    flags: [],
    kind: 'NUMBER',
    fallback: '2',
    atLeast: 1,
    atMost: 255,
    help: 'copies of files in the default class',
  },
  {
    name: 'node_timeout',
    flags: [],
    kind: 'NUMBER',
    fallback: '2',
    atLeast: 0.01,
    fractions: true,
    help: 'seconds a storage node may take to answer',
  },
  {
    name: 'conn_timeout',
    flags: [],
    kind: 'NUMBER',
    fallback: '2',
    atLeast: 0.01,
    fractions: true,
    help: 'seconds the monitor gives a device',
  },
  {
    name: 'conn_pool_size',
    flags: [],
    kind: 'NUMBER',
    fallback: '20',
    help: 'connections to one storage node',
  },
  {
    name: 'max_connections',
    flags: [],
    kind: 'NUMBER',
    fallback: '10000',
    help: 'clients at once; further ones are closed',
  },
  {
    name: 'node_to_node',
    flags: [],
    kind: 'flag',
    fallback: '1',
    help: 'have storage nodes fetch replicas from each other where they may',
  },
  {
    name: 'url_secret',
    flags: [],
    kind: 'TEXT',
    help: 'sign URLs of storage nodes with it; the nodes must know it too',
  },
  {
    name: 'url_ttl',
    flags: [],
    kind: 'NUMBER',
    fallback: '86400',
    help: 'seconds that a signed URL is good',
  },
  {
    name: 'http_listen',
    flags: [],
    kind: 'ADDRESS',
    help: 'ip:port of the HTTP API; repeatable; none by default',
  },
  {
    name: 'http_token',
    flags: [],
    kind: 'TEXT',
    help: 'bearer token that the HTTP API asks for; better kept in the configuration file',
  },
  {
    name: 'http_read_token',
    flags: [],
    kind: 'TEXT',
    help: 'bearer token for requests to the HTTP API that change nothing',
  },
  {
    name: 'http_allow',
    flags: [],
    kind: 'TEXT',
    help: 'networks whose clients may use the HTTP API, for example 10.0.0.0/8,127.0.0.1',
  },
  {
    name: 'http_download',
    flags: [],
    kind: 'TEXT',
    fallback: 'stream',
    help: 'how downloads of files are answered: stream, redirect, nginx, perlbal or single',
  },
  {
    name: 'http_dav',
    flags: [],
    kind: 'TEXT',
    fallback: 'off',
    help: 'domains as WebDAV shares under /dav/ of the HTTP API: off, readonly or full',
  },
  {
    name: 'http_upload_mb',
    flags: [],
    kind: 'NUMBER',
    fractions: true,
    help: 'MiB that an upload to the HTTP API may have; no limit by default',
  },
  {
    name: 'http_resume_hours',
    flags: [],
    kind: 'NUMBER',
    fallback: '24',
    fractions: true,
    help: 'hours that a resumable upload is kept after its last part',
  },
  {
    name: 'http_transfers',
    flags: [],
    kind: 'NUMBER',
    fallback: '500',
    help: 'files that are read or stored by HTTP at once; further ones are refused for the moment',
  },
  {
    name: 'http_min_rate',
    flags: [],
    kind: 'NUMBER',
    fallback: '1024',
    help: 'bytes a second that clients of files must move while they are waited for; 0 for none',
  },
  {
    name: 'http_min_rate_seconds',
    flags: [],
    kind: 'NUMBER',
    fallback: '120',
    help: 'over how many seconds of waiting for a client that is measured',
  },
  { name: 'pidfile', flags: [], kind: 'FILE', help: 'write the process id here' },
  {
    name: 'log_level',
    flags: [],
    kind: 'TEXT',
    fallback: 'info',
    help: 'error, warn, info or debug',
  },
  { name: 'debug', flags: [], short: 'd', kind: 'flag', help: 'same as --log_level debug' },
  {
    name: 'daemonize',
    flags: ['daemon'],
    short: 'D',
    kind: 'flag',
    help: 'go to the background, with the log in syslog',
  },
  {
    name: 'user',
    flags: [],
    short: 'u',
    kind: 'TEXT',
    help: 'accepted for old configurations',
    unused: 'it runs as whoever starts it',
  },
  {
    name: 'query_jobs',
    flags: ['workers', 'listener_jobs'],
    fileNames: ['listener_jobs'],
    short: 'w',
    kind: 'NUMBER',
    help: 'query processes as the original counts them; at most one a processor is started',
  },
  {
    name: 'query_processes',
    flags: [],
    kind: 'NUMBER',
    help: 'exactly so many query processes; 0 does all work in one process',
  },
  {
    name: 'fsck_jobs',
    flags: [],
    kind: 'NUMBER',
    fallback: '1',
    help: 'batches of checks of fsck that run at once',
  },
  {
    name: 'reaper_jobs',
    flags: [],
    kind: 'NUMBER',
    fallback: '1',
    help: '0 leaves dead devices to other trackers',
  },
  {
    name: 'monitor_jobs',
    flags: [],
    kind: 'NUMBER',
    help: 'accepted for old configurations',
    unused: 'there is always exactly one monitor',
  },
  {
    name: 'max_handles',
    flags: [],
    kind: 'NUMBER',
    help: 'accepted for old configurations',
    unused: 'database connections are pooled',
  },
  {
    name: 'max_disk_age',
    flags: ['maxdiskage'],
    kind: 'NUMBER',
    help: 'accepted for old configurations',
    unused: 'the original does not use it either',
  },
  {
    name: 'mogstored_stream_port',
    flags: [],
    kind: 'NUMBER',
    fallback: '7501',
    atMost: 65_535,
    help: 'port of the side channel of every storage node; 0 for none',
  },
  {
    name: 'repl_use_get_port',
    flags: [],
    kind: 'NUMBER',
    help: 'accepted for old configurations',
    unused: 'replication always reads by the port for reads',
  },
  {
    name: 'rebalance_ignore_missing',
    flags: [],
    kind: 'flag',
    help: 'accepted for old configurations',
    unused: 'a replica that is missing already always counts as deleted',
  },
  {
    name: 'local_network',
    flags: [],
    kind: 'TEXT',
    help: 'ip/bits of the zone this tracker is in; with ZoneLocal it copies from there first',
  },
  {
    name: 'plugins',
    flags: [],
    kind: 'TEXT',
    help: 'ZoneLocal offers devices in the network zone of a client first',
  },
  {
    name: 'no_schema_check',
    flags: [],
    kind: 'flag',
    help: 'accepted for old configurations',
    unused: 'a database of another schema version is always refused',
  },
  {
    name: 'no_http',
    flags: [],
    kind: 'flag',
    help: 'accepted for old start scripts',
    unused: 'the original swallows it too',
  },
  {
    name: 'workerport',
    flags: [],
    kind: 'NUMBER',
    help: 'accepted for old start scripts',
    unused: 'the original swallows it too',
  },
] as const satisfies readonly TrackerOption[];

export type OptionName = (typeof table)[number]['name'];

export const optionTable: readonly (TrackerOption & { name: OptionName })[] = table;
