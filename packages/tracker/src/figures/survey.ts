/**
 * Figures of a tracker for its `!` commands: each process reports its own, and they are added up
 * here (spec §1.6). Plain data, because it travels between processes.
 */

import type { CommandCount } from './command-counts.ts';

/** What one process that serves clients did. */
export interface ServerReport {
  pid: number;
  /** Requests answered. */
  queries: number;
  /** Requests that found the tracker not ready and had to wait. */
  waited: number;
  processing: number;
  waitingCount: number;
  /** Requests that wait, as `<ip> <line>`; not all of very many. */
  waiting: string[];
  /** Requests finished last, oldest first. */
  recent: { text: string; endedAtMs: number }[];
  commands: CommandCount[];
  residentBytes: number;
}

/** Counters that outlive their process. */
export interface PastCounters {
  queries: number;
  waited: number;
  commands: CommandCount[];
}

/** One kind of worker as `!jobs` shows it. */
export interface JobCount {
  name: string;
  /** How many run at once now. */
  count: number;
  /** How many are wanted. */
  desired: number;
}

/** What the process that runs the jobs says. */
export interface JobsReport {
  pid: number;
  jobs: JobCount[];
  /** Rows per queue by the job that works them off. */
  depths: [string, number][];
  /** Units begun since its start, by job. */
  sent: [string, number][];
  /** The monitor has seen the whole cluster once. */
  ready: boolean;
  residentBytes: number;
}

/** What the process of the HTTP API says, where it has one of its own. */
export interface HttpReport {
  pid: number;
  commands: CommandCount[];
  residentBytes: number;
}

export interface Survey {
  uptimeSeconds: number;
  servers: ServerReport[];
  /** How many serve clients, and how many should; with 0 all requests wait. */
  queryworkers: { count: number; desired: number; pids: number[] };
  /** Counters of processes that ended. */
  past: PastCounters & { sent: [string, number][] };
  jobs: JobsReport;
  http?: HttpReport | undefined;
}

const recentMax = 50;

/** `!stats` */
export function statsLines({ uptimeSeconds, servers, past, jobs }: Survey): string[] {
  const sum = (of: (report: ServerReport) => number) =>
    servers.reduce((total, report) => total + of(report), 0);
  const pending = sum(({ waitingCount }) => waitingCount);
  const processing = sum((report) => report.processing);
  const waited = past.waited + sum((report) => report.waited);
  const sent = new Map<string, number>();
  for (const [job, count] of [...past.sent, ...jobs.sent]) {
    sent.set(job, (sent.get(job) ?? 0) + count);
  }
  const counters: [string, number][] = [
    ['queries', past.queries + sum(({ queries }) => queries)],
    ...jobs.depths.map(([job, depth]): [string, number] => [`work_queue_for_${job}`, depth]),
    ...[...sent]
      .filter(([, count]) => count > 0)
      .map(([job, count]): [string, number] => [`work_sent_to_${job}`, count]),
  ];
  if (waited > 0) counters.push(['times_out_of_qworkers', waited]);
  counters.sort(([a], [b]) => (a < b ? -1 : 1));
  return [
    `uptime ${uptimeSeconds}`,
    `pending_queries ${pending}`,
    `processing_queries ${processing - pending}`,
    // A query process takes as many requests as come, so each is always free for another.
    `bored_queryworkers ${servers.length}`,
    ...counters.map(([name, value]) => `${name} ${value}`),
  ];
}

/** `!jobs` */
export function jobLines(survey: Survey): string[] {
  const { jobs, pid } = survey.jobs;
  const rows = jobs.map((job) => ({ ...job, pids: job.count > 0 ? [pid] : [] }));
  rows.push({
    name: 'queryworker',
    ...survey.queryworkers,
  });
  rows.sort((a, b) => (a.name < b.name ? -1 : 1));
  return rows.flatMap(({ name, count, desired, pids }) => [
    `${name} count ${count}`,
    `${name} desired ${desired}`,
    `${name} pids ${pids.join(' ')}`,
  ]);
}

/** `!recent` */
export function recentLines({ servers }: Survey): string[] {
  const all = servers.flatMap(({ recent }) => recent);
  all.sort((a, b) => a.endedAtMs - b.endedAtMs);
  return all.slice(-recentMax).map(({ text }) => text);
}
