/**
 * The `!` commands of operators (spec §1.6): plain lines ended by a line with a dot. They are
 * answered in order with ordinary commands on the same connection.
 */

import { jobLines, recentLines, type Survey, statsLines } from '../figures/survey.ts';
import type { Connection } from './connection.ts';

/** The protocol version that tools compare; ours speaks that of MogileFS 2.73. */
export const protocolVersion = '2.73';

export interface AdminServices {
  /** Figures of all processes of the tracker. */
  survey: () => Survey | Promise<Survey>;
  /** Sets how many of a job run at once. */
  want: (job: string, count: number) => void;
  wake: (job: string) => void;
  /** Begins or ends the stream of log lines to a connection. @returns whether it watches now. */
  toggleWatch: (connection: Connection) => boolean;
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
export async function answerAdmin(
  services: AdminServices,
  request: { line: string; connection: Connection },
): Promise<string> {
  const match = pattern.exec(request.line);
  const word = match?.[1] ?? '';
  const rest = match?.[2] ?? '';
  if (word.startsWith('shutdown')) return shutdown(services, rest);
  const lines = await answerLines(services, { word, rest, connection: request.connection });
  if (lines === undefined) return `${help}\n.\r\n`;
  return `${lines.map((line) => `${line}\r\n`).join('')}.\r\n`;
}

async function answerLines(
  services: AdminServices,
  request: { word: string; rest: string; connection: Connection },
): Promise<string[] | undefined> {
  const { word, rest, connection } = request;
  if (word === 'stats') return statsLines(await services.survey());
  if (word.startsWith('version')) return [protocolVersion];
  if (word.startsWith('jobs')) return jobLines(await services.survey());
  if (word.startsWith('want')) return want(services, rest);
  if (word.startsWith('to')) return tell(services, rest);
  if (word.startsWith('queue') || word.startsWith('pend')) {
    return (await services.survey()).servers.flatMap(({ waiting }) => waiting);
  }
  if (word.startsWith('recent')) return recentLines(await services.survey());
  if (word.startsWith('watch')) {
    const watches = services.toggleWatch(connection);
    return [watches ? 'Added you to watcher list.' : 'Removed you from watcher list.'];
  }
  return undefined;
}

/** As with the original, a stop at once has no answer. */
function shutdown(services: AdminServices, rest: string): string {
  const graceful = rest.trim() === 'graceful';
  services.shutdown(graceful ? 'graceful' : 'now');
  return graceful ? '.\r\n' : '';
}

async function want(services: AdminServices, rest: string): Promise<string[]> {
  const match = /^(\d+)\s+(\S+)/.exec(rest);
  if (match === null) return ['ERROR: usage: !want <count> <jobclass>'];
  const count = Math.min(Number(match[1]), jobCountMax);
  const job = match[2] ?? '';
  const { jobs } = await services.survey();
  const names = ['queryworker', ...jobs.jobs.map(({ name }) => name)];
  if (!names.includes(job)) {
    const valid = names.sort().join(', ');
    return [`ERROR: Invalid class '${job}'.  Valid classes: ${valid}`];
  }
  // The original sends the empty line as well.
  if (!jobs.ready) return ['ERROR: Monitor has not completed initial run yet', ''];
  if (!singletons.has(job) || count <= 1) services.want(job, count);
  return [`Now desiring ${count} children doing '${job}'.`];
}

async function tell(services: AdminServices, rest: string): Promise<string[]> {
  const match = /^(\S+)\s+(.+)/s.exec(rest);
  if (match === null) return ['ERROR: usage: !to <jobclass> <message>'];
  const { jobs, queryworkers } = await services.survey();
  const name = match[1] ?? '';
  const count = jobs.jobs.find((job) => job.name === name)?.count ?? 0;
  if (match[2] === ':wake_up') services.wake(name);
  return [`Message sent to ${name === 'queryworker' ? queryworkers.count : count} children.`];
}
