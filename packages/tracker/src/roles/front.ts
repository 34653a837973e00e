/**
 * The front process of a tracker with several: it accepts connections and hands each to a query
 * process, keeps the processes alive, that of the HTTP API too, and is the hub of what they say to
 * each other. No request passes through it, so that it is no bottleneck.
 */
import { createServer, type Server } from 'node:net';
import { OmgfsError } from '@omgfs/protocol';
import type { TrackerConfig } from '../config.ts';
import { sumCounts } from '../figures/command-counts.ts';
import type {
  HttpReport,
  JobsReport,
  PastCounters,
  ServerReport,
  Survey,
} from '../figures/survey.ts';
import { createLog, type Log } from '../log.ts';
import { bindServer, type ListenAddress } from '../server/line-server.ts';
import type { TopologySnapshot } from '../topology/topology.ts';
import type { Channel, Handlers } from './channel.ts';
import { Child } from './child.ts';
import type { StopOptions, Tracker, TrackerHooks } from './lifecycle.ts';
import { HandedConnections, type Orphan, untouched } from './survival/handed.ts';

/** How long a barrier waits for the jobs process to come back. */
const jobsWaitMs = 10_000;
/** A query process retired by `!want` lets its requests in flight end. */
const retireGraceMs = 10_000;

const noneCounted: PastCounters = { queries: 0, waited: 0, commands: [] };
/** While the jobs process is away. */
const noJobs: JobsReport = {
  ...{ pid: 0, jobs: [], depths: [], sent: [], ready: false },
  residentBytes: 0,
};

export class FrontTracker implements Tracker {
  readonly #config: TrackerConfig;
  readonly #hooks: TrackerHooks;
  readonly #log: Log;
  readonly #queries = new Set<QueryProcess>();
  readonly #jobs: Child;
  readonly #servers: Server[] = [];
  /** Connections kept while no query process is up. */
  readonly #unserved: Orphan[] = [];
  readonly #startedAtMs = performance.now();
  readonly #wanted = new Map<string, number>();
  readonly #past = { ...noneCounted, sent: new Map<string, number>() };
  #turn = 0;
  #queriesWanted = 0;
  /** They serve the connections they have. */
  readonly #retired = new Set<QueryProcess>();
  readonly #ending = new Set<QueryProcess>();
  #picture: TopologySnapshot | undefined;
  /** Settles when every query process has taken over the last picture. */
  #settled: Promise<unknown> = Promise.resolve();
  #lastJobs: JobsReport | undefined;
  #http: Child | undefined;
  /** Its port; undefined where there is none. */
  readonly #httpUp: Promise<number | undefined>;
  #lastHttp: HttpReport | undefined;
  #stopping = false;
  #onJobsUp: () => void = () => {};
  #jobsUp: Promise<void>;

  constructor(config: TrackerConfig, hooks: TrackerHooks) {
    this.#config = config;
    this.#hooks = hooks;
    this.#log = createLog({
      role: 'front',
      level: config.logLevel,
      onLine: (line) => this.#showLine(line),
    });
    for (const warning of config.warnings) this.#log.warn({ warning }, 'config.unused');
    this.#jobsUp = this.#awaitJobs();
    this.#jobs = this.#startJobs();
    this.#httpUp = config.httpListen.length === 0 ? Promise.resolve(undefined) : this.#startHttp();
    this.#wantQueries(config.queryProcesses);
  }

  async listen(): Promise<ListenAddress[]> {
    await this.#jobsUp;
    const httpPort = await this.#httpUp;
    const addresses = [];
    for (const address of this.#config.listen) {
      const server = createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
        socket.on('error', () => {});
        this.#place({ socket, account: untouched });
      });
      const bound = await bindServer(server, address);
      this.#servers.push(server);
      this.#log.info({ ...bound, httpPort }, 'tracker.listening');
      addresses.push(bound);
    }
    return addresses;
  }

  async close({ graceMs }: StopOptions): Promise<void> {
    this.#stopping = true;
    for (const server of this.#servers) server.close();
    for (const { socket } of this.#unserved.splice(0)) socket.destroy();
    const all = [...this.#queries, ...this.#retired, ...this.#ending];
    await Promise.all([this.#http, ...all.map(({ child }) => child)].map((c) => c?.stop(graceMs)));
    await this.#jobs.stop(graceMs);
    this.#log.info({}, 'tracker.stopped');
  }

  #startJobs(): Child {
    return new Child({
      role: 'jobs',
      args: this.#config.args,
      log: this.#log,
      handlers: {
        picture: (picture) => this.#spread(picture),
        line: (line) => this.#showLine(line),
        fatal: (message) => this.#fatal(message),
      },
      onUp: () => {
        for (const [job, count] of this.#wanted) this.#jobs.channel?.tell('want', { job, count });
        this.#jobs.channel?.tell('watch', this.#watched);
        this.#onJobsUp();
      },
      onDown: () => {
        this.#jobsUp = this.#awaitJobs();
        for (const [job, count] of this.#lastJobs?.sent ?? []) {
          this.#past.sent.set(job, (this.#past.sent.get(job) ?? 0) + count);
        }
        this.#lastJobs = undefined;
      },
    });
  }

  #startHttp(): Promise<number | undefined> {
    return new Promise((resolve) => {
      const child = new Child({
        role: 'http',
        args: this.#config.args,
        log: this.#log,
        handlers: this.#commonHandlers(),
        onUp: ({ httpPort }) => {
          if (this.#picture !== undefined) child.channel?.tell('picture', this.#picture);
          child.channel?.tell('watch', this.#watched);
          resolve(httpPort);
        },
        onDown: () => {
          const counted = this.#lastHttp?.commands ?? [];
          this.#past.commands = sumCounts([...this.#past.commands, ...counted]);
          this.#lastHttp = undefined;
        },
      });
      this.#http = child;
    });
  }

  /**
   * Processes that are too many get no further connection and end when their last one does. With 0
   * one process goes on, because it answers `!` commands, and all requests wait.
   */
  #wantQueries(count: number): void {
    this.#queriesWanted = count;
    const processes = Math.max(1, count);
    for (const query of this.#retired) {
      if (this.#queries.size === processes) break;
      this.#retired.delete(query);
      this.#queries.add(query);
    }
    while (this.#queries.size < processes) this.#startQuery();
    // The youngest go first.
    for (const query of [...this.#queries].slice(processes)) {
      this.#queries.delete(query);
      this.#retired.add(query);
      if (query.handed.size === 0) this.#endIfRetired(query);
    }
    for (const channel of this.#channels()) channel.tell('hold', count === 0);
  }

  #endIfRetired(query: QueryProcess): void {
    if (!this.#retired.delete(query)) return;
    this.#ending.add(query);
    void query.child.stop(retireGraceMs).then(() => this.#ending.delete(query));
  }

  #startQuery(): void {
    const handed = new HandedConnections();
    const child = new Child({
      role: 'query',
      fd: handed.fd,
      args: this.#config.args,
      log: this.#log,
      handlers: this.#queryHandlers(() => query),
      onUp: () => {
        if (this.#picture !== undefined) child.channel?.tell('picture', this.#picture);
        child.channel?.tell('watch', this.#watched);
        child.channel?.tell('hold', this.#queriesWanted === 0);
        for (const orphan of this.#unserved.splice(0)) this.#place(orphan);
      },
      onDown: () => {
        this.#past.queries += query.counted.queries;
        this.#past.waited += query.counted.waited;
        this.#past.commands = sumCounts([...this.#past.commands, ...query.counted.commands]);
        query.counted = noneCounted;
        query.watches = false;
        this.#announceWatch();
        if (this.#stopping || this.#ending.has(query)) handed.end();
        else void this.#rehome(handed);
        this.#endIfRetired(query);
      },
    });
    const query: QueryProcess = { child, handed, counted: noneCounted, watches: false };
    this.#queries.add(query);
  }

  /** Of processes that execute commands. */
  #commonHandlers(): Handlers {
    return {
      refresh: () => this.#barrier('refresh'),
      reload: () => this.#barrier('reload'),
      nextSweep: () => this.#barrier('nextSweep'),
      wake: (job) => this.#jobs.channel?.tell('wake', job),
      survey: () => this.#survey(),
      line: (line) => this.#showLine(line),
      fatal: (message) => this.#fatal(message),
    };
  }

  #queryHandlers(queryOf: () => QueryProcess): Handlers {
    return {
      ...this.#commonHandlers(),
      want: ({ job, count }) => this.#want(job, count),
      shutdown: (how) => this.#hooks.onShutdown(how),
      closed: (ids) => {
        queryOf().handed.closed(ids);
        if (queryOf().handed.size === 0) this.#endIfRetired(queryOf());
      },
      counted: (counted) => {
        queryOf().counted = counted;
      },
      watch: (watches) => {
        queryOf().watches = watches;
        this.#announceWatch();
      },
    };
  }

  /** Gives a connection to the next query process that is up. */
  #place(orphan: Orphan): void {
    const up = [...this.#queries].filter(({ child }) => child.channel !== undefined);
    const query = up[this.#turn % Math.max(1, up.length)];
    this.#turn += 1;
    const channel = query?.child.channel;
    if (query !== undefined && channel !== undefined) query.handed.hand(channel, orphan);
    else if (this.#stopping || this.#unserved.length >= this.#config.connectionsMax) {
      orphan.socket.destroy();
    } else this.#unserved.push(orphan);
  }

  /** Gives the connections of a process that has died to others, where that is safe. */
  async #rehome(handed: HandedConnections): Promise<void> {
    try {
      const { orphans, closed } = await handed.release();
      for (const orphan of orphans) this.#place(orphan);
      const owed = orphans.reduce((sum, { account }) => sum + account.owed, 0);
      this.#log.warn({ kept: orphans.length, owed, closed }, 'connections.moved');
    } catch (error) {
      this.#log.error({ err: error }, 'connections.lost');
    }
  }

  #serving(): QueryProcess[] {
    return [...this.#queries, ...this.#retired];
  }

  #channels(): Channel[] {
    return this.#serving().flatMap(({ child }) => child.channel ?? []);
  }

  /** Has the jobs process do something whose effect every query process knows afterwards. */
  async #barrier(method: 'refresh' | 'reload' | 'nextSweep'): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const overdue = new Promise<never>((_, reject) => {
      const message = 'The jobs process of the tracker is not running; see the log.';
      timer = setTimeout(() => reject(new OmgfsError('FAILURE', { message })), jobsWaitMs);
    });
    await Promise.race([this.#jobsUp, overdue]).finally(() => clearTimeout(timer));
    await this.#jobs.channel?.call(method, undefined);
    await this.#settled;
  }

  #spread(picture: TopologySnapshot): void {
    this.#picture = picture;
    // A process that ends meanwhile gets the picture when it is up again.
    const channels = [...this.#channels(), ...[this.#http?.channel ?? []].flat()];
    const calls = channels.map((channel) => channel.call('picture', picture));
    this.#settled = Promise.allSettled([this.#settled, ...calls]);
  }

  #want(job: string, count: number): void {
    if (job === 'queryworker') {
      this.#wantQueries(count);
      return;
    }
    this.#wanted.set(job, count);
    this.#jobs.channel?.tell('want', { job, count });
  }

  async #survey(): Promise<Survey> {
    const serving = this.#serving();
    const reports = await Promise.all(serving.map((query) => this.#report(query)));
    const servers = reports.flatMap((report) => report ?? []);
    const pids = serving.flatMap((query, at) => {
      return this.#queries.has(query) ? (reports[at]?.pid ?? []) : [];
    });
    const jobs = await this.#jobs.channel?.call('jobsReport', undefined).catch(() => undefined);
    this.#lastJobs = jobs ?? this.#lastJobs;
    const http = await this.#http?.channel?.call('httpReport', undefined).catch(() => undefined);
    this.#lastHttp = http ?? this.#lastHttp;
    const { queries, waited, commands, sent } = this.#past;
    return {
      uptimeSeconds: Math.floor((performance.now() - this.#startedAtMs) / 1000),
      servers,
      queryworkers: {
        count: Math.min(pids.length, this.#queriesWanted),
        desired: this.#queriesWanted,
        pids: this.#queriesWanted === 0 ? [] : pids.sort((a, b) => a - b),
      },
      past: { queries, waited, commands, sent: [...sent] },
      jobs: jobs ?? noJobs,
      http,
    };
  }

  async #report(query: QueryProcess): Promise<ServerReport | undefined> {
    const { channel } = query.child;
    const report = await channel?.call('serverReport', undefined).catch(() => undefined);
    // Of a process that ended meanwhile the counters are in the past already.
    if (report === undefined || query.child.channel !== channel) return undefined;
    const { queries, waited, commands } = report;
    query.counted = { queries, waited, commands };
    return report;
  }

  get #watched(): boolean {
    return this.#serving().some(({ watches }) => watches);
  }

  #announceWatch(): void {
    const children = this.#serving().map(({ child }) => child);
    for (const child of [this.#jobs, this.#http, ...children]) {
      child?.channel?.tell('watch', this.#watched);
    }
  }

  #showLine(line: string): void {
    for (const { child, watches } of this.#serving()) {
      if (watches) child.channel?.tell('line', line);
    }
  }

  #awaitJobs(): Promise<void> {
    return new Promise((resolve) => {
      this.#onJobsUp = resolve;
    });
  }

  #fatal(message: string): void {
    if (!this.#stopping) this.#hooks.onFatal(new OmgfsError('FAILURE', { message }));
  }
}

interface QueryProcess {
  child: Child;
  handed: HandedConnections;
  /** Counters as it last told them. */
  counted: PastCounters;
  /** Somebody follows the log there. */
  watches: boolean;
}
