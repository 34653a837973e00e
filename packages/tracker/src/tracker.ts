/**
 * Puts a tracker together: line server, commands, store, topology and jobs in one process. It
 * listens at once and opens the database in the background, again and again while that is down;
 * requests meanwhile wait a little and then get a clear error.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { OmgfsError, toOmgfsError } from '@omgfs/protocol';
import { type CommandTable, createCommands } from './commands/registry.ts';
import type { TrackerConfig } from './config.ts';
import { createDeviceClient } from './devices/device-client.ts';
import { createSignUrl } from './devices/signing.ts';
import { HttpServer } from './http/server.ts';
import { createJobs, type Jobs } from './jobs/jobs.ts';
import { copyOne } from './jobs/replication/copy-one.ts';
import { askAbout } from './jobs/replication/question.ts';
import { createLog, type Log } from './log.ts';
import { type AdminServices, answerAdmin, isAdminLine, type JobCount } from './server/admin.ts';
import type { Connection } from './server/connection.ts';
import { Dispatcher } from './server/dispatcher.ts';
import { LineServer, type ListenAddress } from './server/line-server.ts';
import { openStore, parseDsn } from './store/open-store.ts';
import { Lookups } from './store/replicas/lookups.ts';
import type { Store } from './store/store.ts';
import { Topology } from './topology/topology.ts';

/** How long a request waits for a tracker that is still starting. */
const readyWaitMs = 5_000;
/** How long requests in flight may take when the tracker stops. */
const closeGraceMs = 10_000;
const databaseRetryMs = 1_000;
/** How long the database may take to answer before the tracker counts as not ready. */
const readinessMs = 2_000;

export interface TrackerHooks {
  /** The tracker can never work as configured, for example on a newer schema. */
  onFatal: (error: unknown) => void;
  /** An operator asked for a stop by `!shutdown`. */
  onShutdown: (how: 'now' | 'graceful') => void;
}

export interface Tracker {
  /** Starts to listen. @returns the addresses with their real ports. */
  listen(): Promise<ListenAddress[]>;
  /** Answers what is in flight, stops the jobs and closes the database. */
  close(): Promise<void>;
}

export function createTracker(config: TrackerConfig, hooks: TrackerHooks): Tracker {
  return new RunningTracker(config, hooks);
}

class RunningTracker implements Tracker {
  readonly #config: TrackerConfig;
  readonly #hooks: TrackerHooks;
  readonly #log: Log;
  readonly #watchers = new Set<Connection>();
  readonly #stopped = new AbortController();
  readonly #topology: Topology;
  readonly #devices;
  readonly #server: LineServer;
  readonly #dispatcher: Dispatcher;
  readonly #httpServers: readonly HttpServer[];
  readonly #started: Promise<CommandTable>;
  #store: Store | undefined;
  #lookups: Lookups | undefined;
  #jobs: Jobs | undefined;

  constructor(config: TrackerConfig, hooks: TrackerHooks) {
    this.#config = config;
    this.#hooks = hooks;
    this.#log = createLog({
      role: 'tracker',
      level: config.logLevel,
      onLine: (line) => this.#tellWatchers(line),
    });
    for (const warning of config.warnings) this.#log.warn({ warning }, 'config.unused');
    this.#topology = new Topology(config);
    this.#devices = createDeviceClient(config);
    this.#started = this.#start();
    this.#dispatcher = new Dispatcher({ ready: this.#started, readyWaitMs, log: this.#log });
    this.#httpServers = config.httpListen.map(() => this.#createHttpServer());
    const admin = this.#adminServices();
    this.#server = new LineServer({
      connectionsMax: config.connectionsMax,
      onClose: (connection) => this.#watchers.delete(connection),
      handle: (line, connection) =>
        isAdminLine(line)
          ? answerAdmin(admin, { line, connection })
          : this.#dispatcher.execute(line, connection.address),
    });
  }

  async listen(): Promise<ListenAddress[]> {
    const http = [];
    for (const [index, server] of this.#httpServers.entries()) {
      http.push(await server.listen(this.#config.httpListen[index] as ListenAddress));
    }
    const httpPort = http[0]?.port;
    const addresses = [];
    for (const address of this.#config.listen) {
      const bound = await this.#server.listen(address);
      this.#log.info({ ...bound, httpPort, pid: process.pid }, 'tracker.listening');
      addresses.push(bound);
    }
    return addresses;
  }

  async close(): Promise<void> {
    this.#stopped.abort();
    const servers = this.#httpServers.map((server) => server.close());
    await Promise.all([this.#server.close(closeGraceMs), ...servers]);
    await this.#started.catch(() => {});
    await this.#jobs?.stop();
    await this.#devices.close();
    await this.#lookups?.close();
    await this.#store?.close();
    this.#log.info({}, 'tracker.stopped');
  }

  async #start(): Promise<CommandTable> {
    try {
      const store = await this.#openStore();
      this.#store = store;
      const jobs = this.#createJobs(store);
      this.#jobs = jobs;
      jobs.start();
      await Promise.race([jobs.monitor.firstRun, rejectWhen(this.#stopped.signal)]);
      this.#log.info({ engine: store.engine }, 'tracker.ready');
      const parts = { store, topology: this.#topology, devices: this.#devices };
      const random = Math.random;
      return createCommands({
        ...parts,
        lookups: this.#createLookups(store),
        refresh: () => jobs.monitor.refresh(),
        nextSweep: () => jobs.monitor.nextSweep(),
        wakeReplicate: () => jobs.wakeReplicate(),
        wakeDelete: () => jobs.wakeDelete(),
        wakeFsck: () => jobs.wakeFsck(),
        wakeRebalance: () => jobs.wakeRebalance(),
        hostname: this.#config.hostname,
        copyReplica: (request) => copyOne({ ...parts, log: this.#log, random }, request),
        verdictOn: (file) => askAbout({ topology: this.#topology, random }, file),
        signUrl: createSignUrl(this.#config),
        random,
      });
    } catch (error) {
      if (!this.#stopped.signal.aborted) this.#hooks.onFatal(error);
      throw error;
    }
  }

  #createLookups(store: Store): Lookups {
    const topology = this.#topology;
    const lookups = new Lookups({ master: store, log: this.#log });
    const configure = () => lookups.configure((name) => topology.setting(name));
    topology.onChange(configure);
    configure();
    this.#lookups = lookups;
    return lookups;
  }

  /** Tries until the database answers; only an error that time does not heal ends it. */
  async #openStore(): Promise<Store> {
    const { dsn, dbUser, dbPassword, createSchema, mindevcountDefault } = this.#config;
    const parsed = parseDsn(dsn, { user: dbUser, password: dbPassword });
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await openStore(parsed, { createSchema, mindevcountDefault, log: this.#log });
      } catch (error) {
        const { code, message } = toOmgfsError(error);
        if (code !== 'DB_DOWN') throw error;
        if (attempt === 1) this.#log.error({ code, message }, 'database.unreachable');
        await delay(databaseRetryMs, undefined, { signal: this.#stopped.signal });
      }
    }
  }

  #createJobs(store: Store): Jobs {
    const { replicateJobs, deleteJobs, fsckJobs, reaperJobs } = this.#config;
    const { hostname, tempfileAgeSeconds } = this.#config;
    const { sideChannelPort: port, connTimeoutMs } = this.#config;
    const sideChannel = port === undefined ? undefined : { port, connTimeoutMs };
    const counts = { replicateJobs, deleteJobs, fsckJobs, reaperJobs };
    return createJobs({
      store,
      topology: this.#topology,
      devices: this.#devices,
      log: this.#log,
      settings: { ...counts, hostname, tempfileAgeSeconds, sideChannel },
    });
  }

  #createHttpServer(): HttpServer {
    return new HttpServer({
      call: (request) => this.#dispatcher.call(request),
      readiness: () => this.#readiness(),
      access: this.#config.httpAccess,
      log: this.#log,
    });
  }

  /** Why requests cannot be served now; undefined when they can. */
  async #readiness(): Promise<string | undefined> {
    if (this.#stopped.signal.aborted) return 'the tracker is stopping';
    if (this.#store === undefined) return 'the database was not reached yet';
    if (!this.#dispatcher.isReady) return 'devices were not looked at yet';
    const overdue = delay(readinessMs, 'the database does not answer in time', { ref: false });
    const answer = this.#store.ping().then(
      () => undefined,
      (error: unknown) => toOmgfsError(error).message,
    );
    return Promise.race([answer, overdue]);
  }

  #adminServices(): AdminServices {
    return {
      dispatcher: this.#dispatcher,
      watchers: this.#watchers,
      startedAtMs: performance.now(),
      jobs: () => this.#jobCounts(),
      want: (job, count) => this.#jobs?.want(job, count),
      wake: (job) => this.#jobs?.wake(job),
      queueDepths: () => this.#jobs?.queueDepths() ?? new Map(),
      ready: () => this.#store !== undefined,
      shutdown: (how) => this.#hooks.onShutdown(how),
    };
  }

  #jobCounts(): JobCount[] {
    const running = this.#jobs?.counts() ?? [];
    const always = ['queryworker', 'job_master'].map((name) => ({ name, count: 1, desired: 1 }));
    return [...always, ...running];
  }

  #tellWatchers(line: string): void {
    if (this.#watchers.size === 0) return;
    for (const watcher of this.#watchers) watcher.push(`:: ${line.trimEnd()}\r\n`);
  }
}

function rejectWhen(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new OmgfsError('SHUTTING_DOWN')), { once: true });
  });
}
