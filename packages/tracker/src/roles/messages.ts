/**
 * What the processes of one tracker say to each other, as method → what is sent and what comes
 * back. The front process is the hub: query processes and the jobs process know only it.
 */
import type {
  HttpReport,
  JobsReport,
  PastCounters,
  ServerReport,
  Survey,
} from '../figures/survey.ts';
import type { TopologySnapshot } from '../topology/topology.ts';
import type { Handed } from './survival/ledger.ts';

export interface Methods {
  /** Child to front: it can be spoken to. With the port of the HTTP API where it serves that. */
  hello: [{ httpPort: number | undefined }, unknown];
  /** Child to front: it can never work as configured. */
  fatal: [string, unknown];
  /** Front to query process, with a socket. */
  connection: [Handed, unknown];
  /** Query process to front: these connections have ended. */
  closed: [number[], unknown];
  /** Jobs process to front to those that execute commands, who answer when they have it. */
  picture: [TopologySnapshot, unknown];
  /** To front and on to jobs process; answered when all that execute commands know the effect. */
  refresh: [undefined, unknown];
  reload: [undefined, unknown];
  nextSweep: [undefined, unknown];
  wake: [string, unknown];
  want: [{ job: string; count: number }, unknown];
  /** Child to front. */
  survey: [undefined, Survey];
  /** Front to query process. */
  serverReport: [undefined, ServerReport];
  /** Front to jobs process. */
  jobsReport: [undefined, JobsReport];
  /** Front to HTTP process. */
  httpReport: [undefined, HttpReport];
  /** Query process to front, unasked: counters that shall survive it. */
  counted: [PastCounters, unknown];
  /** Query process to front: it has watchers. Front to child: log lines are wanted. */
  watch: [boolean, unknown];
  /** A log line, to front and on to those who watch. */
  line: [string, unknown];
  shutdown: ['now' | 'graceful', unknown];
  /** Front to query process: requests wait, or go on. */
  hold: [boolean, unknown];
  /** Front to child: finish what is in flight and end. */
  stop: [{ graceMs: number }, unknown];
}
