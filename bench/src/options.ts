/** The command line: what to measure, where and for how long. Nothing here does I/O. */
import { parseArgs } from 'node:util';
import type { HostPort } from './load/line-connection.ts';
import type { NamedProcess } from './report/processes.ts';

export const workloads = ['get_paths', 'read', 'store', 'copies', 'delete'] as const;
export type Workload = (typeof workloads)[number];

export interface Options {
  /** Undefined in a local run. */
  tracker: HostPort | undefined;
  domain: string;
  /** Address of the database for the bare limits. */
  mysql: string | undefined;
  /** Docroots of storage nodes on this machine. */
  docroots: string[];
  nginx: boolean;
  /** Where a local run puts its files. */
  dir: string | undefined;
  workloads: Workload[];
  connections: number[];
  sizes: number[];
  rounds: number;
  seconds: number;
  processes: NamedProcess[];
  json: string | undefined;
}

export type CommandLine =
  | { action: 'help' }
  | { action: 'refuse'; reason: string }
  | { action: 'run'; options: Options };

export const help = `Load tool of omgfs: measures a tracker and its storage nodes and, beside them
and turn by turn, the bare limits of database, disk and nginx.

  bench --local                       start everything on loopback, measure, remove it again
  bench --tracker HOST:PORT --domain D [more]     measure what runs already

What runs already
  --tracker HOST:PORT    any tracker of the MogileFS protocol
  --domain D             an existing domain; files get names below omgfs-bench-…, in the default
                         class and in a class of one copy made for the run; all are deleted again
  --mysql URL            mysql://user:pass@host:port/db: also measure a bare SELECT and INSERT
                         there, in two tables omg_bench_…; take the tracker's own server
  --docroot DIR          docroot of a storage node on this machine, repeatable: also measure bare
                         write+fdatasync+rename on the disk of the first one
  --nginx                also measure nginx serving the same files from these docroots
  --pid NAME=PID         also report memory and processor time of a process, repeatable

Local run
  --local                private MariaDB, tracker, three storage nodes and nginx
  --dir DIR              where their files go: a directory on the disk to measure (default: the
                         system's temporary directory)

How to measure
  --workloads LIST       get_paths,read,store,copies,delete (default: all)
                         store: files of one copy; copies: files of the default class
  --connections LIST     callers with one request in flight each (default: 1,16,64)
  --sizes LIST           bytes, with k or m (default: 4k,64k,1m)
  --rounds N             turns of each row, taken in rotation; medians are printed (default: 5)
  --seconds S            length of a turn, after a warm-up of a sixth of it (default: 3)
  --json FILE            where the results go (default: bench/results/TIME.json)

Examples
  bench --local --sizes 4k --connections 64 --workloads get_paths,store
  bench --tracker 10.0.0.5:7001 --domain photos --mysql mysql://mogile:secret@10.0.0.6/mogilefs
`;

const optionTable = {
  help: { type: 'boolean', short: 'h' },
  local: { type: 'boolean' },
  tracker: { type: 'string' },
  domain: { type: 'string' },
  mysql: { type: 'string' },
  docroot: { type: 'string', multiple: true },
  nginx: { type: 'boolean' },
  pid: { type: 'string', multiple: true },
  dir: { type: 'string' },
  workloads: { type: 'string' },
  connections: { type: 'string' },
  sizes: { type: 'string' },
  rounds: { type: 'string' },
  seconds: { type: 'string' },
  json: { type: 'string' },
} as const;

/** Takes the arguments apart; a mistake becomes a reason to refuse, never an exception. */
export function readCommandLine(argv: readonly string[]): CommandLine {
  try {
    const { values } = parseArgs({ args: [...argv], options: optionTable });
    if (values.help === true) return { action: 'help' };
    return { action: 'run', options: optionsOf(values) };
  } catch (error) {
    return { action: 'refuse', reason: error instanceof Error ? error.message : String(error) };
  }
}

type Values = ReturnType<typeof parseArgs<{ options: typeof optionTable }>>['values'];

function optionsOf(values: Values): Options {
  const local = values.local === true;
  const remote = ['tracker', 'domain', 'mysql', 'docroot', 'nginx', 'pid'] as const;
  const foreign = remote.find((name) => local && values[name] !== undefined);
  if (foreign !== undefined) throw new Error(`--${foreign} and --local exclude each other`);
  if (!local && (values.tracker === undefined || values.domain === undefined)) {
    throw new Error('give --local, or --tracker and --domain');
  }
  if (!local && values.dir !== undefined) throw new Error('--dir is for --local');
  if (values.nginx === true && values.docroot === undefined) {
    throw new Error('--nginx needs --docroot, to serve the same files');
  }
  return {
    tracker: values.tracker === undefined ? undefined : hostPort(values.tracker),
    domain: values.domain ?? 'bench',
    mysql: values.mysql,
    docroots: values.docroot ?? [],
    nginx: values.nginx === true,
    dir: values.dir,
    workloads: (values.workloads ?? workloads.join()).split(',').map(workload),
    connections: (values.connections ?? '1,16,64').split(',').map((text) => {
      return wholeNumber(text, { of: '--connections', max: 10_000 });
    }),
    sizes: (values.sizes ?? '4k,64k,1m').split(',').map(bytes),
    rounds: wholeNumber(values.rounds ?? '5', { of: '--rounds', max: 1000 }),
    seconds: seconds(values.seconds ?? '3'),
    processes: (values.pid ?? []).map(namedProcess),
    json: values.json,
  };
}

function hostPort(text: string): HostPort {
  const match = /^(.+):(\d{1,5})$/.exec(text);
  if (match === null) throw new Error(`--tracker ${text} is not HOST:PORT`);
  return { host: (match[1] ?? '').replace(/^\[|\]$/g, ''), port: Number(match[2]) };
}

function workload(text: string): Workload {
  const known = workloads.find((name) => name === text.trim());
  if (known === undefined) throw new Error(`--workloads: ${text} is none of ${workloads.join()}`);
  return known;
}

/** Bytes of `4096`, `4k` or `1m`. @throws Error when it is none. */
export function bytes(text: string): number {
  const match = /^(\d{1,9})([km]?)$/i.exec(text.trim());
  const units: Record<string, number> = { '': 1, k: 1024, m: 1024 * 1024 };
  const value = Number(match?.[1] ?? 0) * (units[(match?.[2] ?? '').toLowerCase()] ?? 0);
  if (value === 0) throw new Error(`--sizes: ${text} is no size such as 4096, 4k or 1m`);
  return value;
}

function wholeNumber(text: string, { of, max }: { of: string; max: number }): number {
  const value = Number(text);
  if (Number.isInteger(value) && value >= 1 && value <= max) return value;
  throw new Error(`${of}: ${text} is not a whole number from 1 to ${max}`);
}

function seconds(text: string): number {
  const value = Number(text);
  if (value > 0 && value <= 3600) return value;
  throw new Error(`--seconds: ${text} is not a number above 0 and up to 3600`);
}

function namedProcess(text: string): NamedProcess {
  const match = /^([\w-]+)=(\d+)$/.exec(text);
  if (match === null) throw new Error(`--pid ${text} is not NAME=PID`);
  return { name: match[1] ?? '', pid: Number(match[2]) };
}
