/**
 * The `!` commands of operators (spec §1.6): plain lines ended by a line with a dot. They are
 * answered in order with ordinary commands on the same connection.
 */
import type { Connection } from './connection.ts';
import type { Dispatcher } from './dispatcher.ts';

/** The protocol version that tools compare; ours speaks that of MogileFS 2.73. */
export const protocolVersion = '2.73';

/** One kind of worker as `!jobs` shows it. */
export interface JobCount {
  name: string;
  /** How many run at once now. */
  count: number;
  /** How many are wanted. */
  desired: number;
}

export interface AdminServices {
  dispatcher: Dispatcher;
  watchers: Set<Connection>;
  startedAtMs: number;
  jobs: () => JobCount[];
  /** Sets how many of a job run at once. */
  want: (job: string, count: number) => void;
  /** Depth of a queue by job name, for `!stats`. */
  queueDepths: () => ReadonlyMap<string, number>;
  /** Whether the monitor has seen the whole cluster once. */
  ready: () => boolean;
  wake: (job: string) => void;
  shutdown: (how: 'now' | 'graceful') => void;
}

const jobCountMax = 500;
/** Jobs of which there is always exactly one. */
const singletons = new Set(['monitor', 'job_master']);

const help = [
  'Available commands:',
  '  !version                 the protocol version of this tracker',
  '  !stats                   counters since the start',
  '  !jobs                    kinds of work: how many run, how many are wanted, process ids',
  '  !want <count> <job>      run so many of a job at once',
  '  !queue                   requests that wait to be executed',
  '  !recent                  requests answered last',
  '  !to <job> <text>         pass a message to a job, for example !to replicate :wake_up',
  '  !watch                   follow the log on this connection; again to stop',
  '  !shutdown                stop at once',
  '  !shutdown graceful       finish what is in flight, refuse new work, then stop',
].join('\n');

const pattern = /^!(\S+)(?:\s+(.*))?$/s;

/** Whether a line is for `answerAdmin`; `!` alone and `! word` are not (spec §1.1). */
export function isAdminLine(line: string): boolean {
  return line.charCodeAt(0) === 33 && pattern.test(line);
}

/** The whole answer, dot line included. */
export function answerAdmin(
  services: AdminServices,
  request: { line: string; connection: Connection },
): string {
  const match = pattern.exec(request.line);
  const word = match?.[1] ?? '';
  const rest = match?.[2] ?? '';
  const lines = answerLines(services, { word, rest, connection: request.connection });
  if (lines === undefined) return `${help}\n.\r\n`;
  return `${lines.map((line) => `${line}\r\n`).join('')}.\r\n`;
}

function answerLines(
  services: AdminServices,
  request: { word: string; rest: string; connection: Connection },
): string[] | undefined {
  const { word, rest, connection } = request;
  const { dispatcher, watchers } = services;
  if (word === 'stats') return stats(services);
  if (word.startsWith('version')) return [protocolVersion];
  if (word.startsWith('jobs')) return jobLines(services.jobs());
  if (word.startsWith('want')) return want(services, rest);
  if (word.startsWith('to')) return tell(services, rest);
  if (word.startsWith('queue') || word.startsWith('pend')) return [...dispatcher.waiting];
  if (word.startsWith('recent')) return dispatcher.recent.lines();
  if (word.startsWith('watch')) {
    if (watchers.delete(connection)) return ['Removed you from watcher list.'];
    watchers.add(connection);
    return ['Added you to watcher list.'];
  }
  if (word.startsWith('shutdown')) {
    services.shutdown(rest.trim() === 'graceful' ? 'graceful' : 'now');
    return [];
  }
  return undefined;
}

function stats({ dispatcher, startedAtMs, queueDepths }: AdminServices): string[] {
  const counters = [...queueDepths()].map(([job, depth]): [string, number] => [
    `work_queue_for_${job}`,
    depth,
  ]);
  counters.push(['queries', dispatcher.queries]);
  counters.sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    `uptime ${Math.floor((performance.now() - startedAtMs) / 1000)}`,
    `pending_queries ${dispatcher.waiting.size}`,
    `processing_queries ${dispatcher.processing - dispatcher.waiting.size}`,
    'bored_queryworkers 1',
    ...counters.map(([name, value]) => `${name} ${value}`),
  ];
}

function jobLines(jobs: JobCount[]): string[] {
  const sorted = [...jobs].sort((a, b) => (a.name < b.name ? -1 : 1));
  return sorted.flatMap(({ name, count, desired }) => [
    `${name} count ${count}`,
    `${name} desired ${desired}`,
    // One process does all the work, so every running job has its id.
    `${name} pids ${count > 0 ? process.pid : ''}`,
  ]);
}

function want(services: AdminServices, rest: string): string[] {
  const match = /^(\d+)\s+(\S+)/.exec(rest);
  if (match === null) return ['ERROR: usage: !want <count> <jobclass>'];
  const count = Math.min(Number(match[1]), jobCountMax);
  const job = match[2] ?? '';
  const names = services.jobs().map(({ name }) => name);
  if (!names.includes(job)) {
    const valid = names.sort().join(', ');
    return [`ERROR: Invalid class '${job}'.  Valid classes: ${valid}`];
  }
  if (!services.ready()) return ['ERROR: Monitor has not completed initial run yet'];
  if (!singletons.has(job) || count <= 1) services.want(job, count);
  return [`Now desiring ${count} children doing '${job}'.`];
}

function tell(services: AdminServices, rest: string): string[] {
  const match = /^(\S+)\s+(.+)/s.exec(rest);
  if (match === null) return ['ERROR: usage: !to <jobclass> <message>'];
  const job = services.jobs().find(({ name }) => name === match[1]);
  if (job !== undefined && match[2] === ':wake_up') services.wake(job.name);
  return [`Message sent to ${job?.count ?? 0} children.`];
}
