/**
 * Every option of `mogstored`: those of the original (spec §8.4) and our own. The file and the
 * environment use the same names as the command line.
 */

export interface StorageOption {
  name: string;
  short?: string;
  /** `flag`, or what the value is. */
  kind: 'flag' | 'TEXT' | 'NUMBER' | 'FILE' | 'DIR' | 'ADDRESS' | 'devN';
  fallback?: string;
  help: string;
}

const table = [
  { name: 'help', short: 'h', kind: 'flag', help: 'this text' },
  { name: 'config', short: 'c', kind: 'FILE', help: 'configuration file, name = value' },
  { name: 'skipconfig', short: 's', kind: 'flag', help: 'read no configuration file' },
  {
    name: 'docroot',
    kind: 'DIR',
    fallback: '/var/mogdata',
    help: 'holds one directory devN for each device',
  },
  {
    name: 'httplisten',
    kind: 'ADDRESS',
    fallback: '0.0.0.0:7500',
    help: '[ip:]port to serve on; port 0 takes any free one',
  },
  {
    name: 'dav',
    kind: 'TEXT',
    fallback: 'off',
    help: 'WebDAV besides what trackers need: off, readonly or full',
  },
  {
    name: 'maxconns',
    kind: 'NUMBER',
    fallback: '10000',
    help: 'connections at once; further ones are closed',
  },
  {
    name: 'sync',
    kind: 'TEXT',
    fallback: 'always',
    help: 'a PUT is answered on disk: always, batch (together) or never',
  },
  {
    name: 'free-reserve-mb',
    kind: 'NUMBER',
    fallback: '100',
    help: 'MiB that uploads leave free on each device',
  },
  {
    name: 'scrub-mb',
    kind: 'NUMBER',
    fallback: '2',
    help: 'MiB a second read on each device to find corrupt files; 0: none',
  },
  {
    name: 'pieces-hours',
    kind: 'NUMBER',
    fallback: '24',
    help: 'hours an upload in pieces waits for the next one',
  },
  {
    name: 'stop-seconds',
    kind: 'NUMBER',
    fallback: '10',
    help: 'how long a stop waits for requests and for disks that hang',
  },
  {
    name: 'adopt',
    kind: 'devN',
    help: 'accept the disk that is there now in place of another; repeatable',
  },
  {
    name: 'allow',
    kind: 'TEXT',
    help: 'serve only clients in these networks, like 10.0.0.0/8,127.0.0.1',
  },
  {
    name: 'pull',
    kind: 'flag',
    fallback: '1',
    help: 'fetch replicas from other nodes, if allowed or signed',
  },
  {
    name: 'url-secret',
    kind: 'TEXT',
    help: 'serve only URLs signed with it by trackers; several by comma',
  },
  { name: 'tls-listen', kind: 'ADDRESS', help: '[ip:]port to serve on over TLS as well' },
  { name: 'tls-cert', kind: 'FILE', help: 'certificate chain for tls-listen, PEM' },
  { name: 'tls-key', kind: 'FILE', help: 'private key for tls-listen, PEM' },
  { name: 'log-level', kind: 'TEXT', fallback: 'info', help: 'error, warn, info or debug' },
  { name: 'pidfile', kind: 'FILE', help: 'write the process id here' },
  {
    name: 'daemonize',
    short: 'd',
    kind: 'flag',
    help: 'go to the background, with the log in syslog',
  },
  {
    name: 'mgmtlisten',
    kind: 'ADDRESS',
    fallback: '0.0.0.0:7501',
    help: '[ip:]port of the side channel; none turns it off',
  },
  { name: 'metrics-listen', kind: 'ADDRESS', help: '[ip:]port that answers GET /metrics' },
  {
    name: 'server',
    kind: 'TEXT',
    fallback: 'own',
    help: 'who serves the bytes: own, nginx, or none for a server of yours',
  },
  { name: 'serverbin', kind: 'FILE', help: 'the nginx to run; looked for in PATH otherwise' },
  {
    name: 'nginx-workers',
    kind: 'TEXT',
    fallback: 'auto',
    help: 'worker processes of nginx; auto is one for each core',
  },
  {
    name: 'nginx-links',
    kind: 'TEXT',
    fallback: 'refuse',
    help: 'links inside a device: refuse, check (by nginx), or follow',
  },
  {
    name: 'iostat',
    kind: 'flag',
    fallback: '1',
    help: 'say how busy disks are; --noiostat does not',
  },
] as const satisfies readonly StorageOption[];

export type OptionName = (typeof table)[number]['name'];

export const optionTable: readonly (StorageOption & { name: OptionName })[] = table;

/**
 * The option a person means: its name, or the beginning of exactly one name, as in the original.
 * @throws Error that names the nearest option when there is none.
 */
export function optionNamed(text: string): StorageOption & { name: OptionName } {
  const name = text.toLowerCase().replaceAll('_', '-');
  const exact = optionTable.find((option) => option.name === name);
  if (exact !== undefined) return exact;
  const candidates = optionTable.filter((option) => option.name.startsWith(name));
  const [only] = candidates;
  if (only !== undefined && candidates.length === 1) return only;
  const nearest = [...optionTable].sort(
    (a, b) => editDistance(a.name, name) - editDistance(b.name, name),
  )[0];
  throw new Error(`unknown option '${text}'; did you mean '${nearest?.name}'? See --help`);
}

/** Levenshtein's distance between two short words. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i];
    for (let j = 1; j <= b.length; j += 1) {
      const replace = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replace, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}
