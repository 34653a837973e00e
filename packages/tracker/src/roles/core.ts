/**
 * What every process of a tracker that executes commands has: log, topology, devices, database and
 * the command table. It opens the database in the background, again and again while that is down;
 * requests meanwhile wait a little and then get a clear error.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { isTrue, OmgfsError, toOmgfsError } from '@omgfs/protocol';
import type { CommandTable } from '../commands/command.ts';
import { createCommands } from '../commands/registry.ts';
import type { TrackerConfig } from '../config.ts';
import { createDeviceClient, type DeviceClient } from '../devices/device-client.ts';
import { createSignUrl } from '../devices/signing.ts';
import { copyOne } from '../jobs/replication/copy-one.ts';
import { DeviceSlots } from '../jobs/replication/device-slots.ts';
import { askAbout } from '../jobs/replication/question.ts';
import { createLog, type Log } from '../log.ts';
import { Dispatcher } from '../server/dispatcher.ts';
import { Memcache } from '../store/memcache/memcache.ts';
import { openStore, parseDsn, type SchemaOptions } from '../store/open-store.ts';
import { Lookups } from '../store/replicas/lookups.ts';
import type { Store } from '../store/store.ts';
import { Topology } from '../topology/topology.ts';

/** How long a request waits for a tracker that is still starting. */
const readyWaitMs = 5_000;
const databaseRetryMs = 1_000;
/** How long the database may take to answer before the tracker counts as not ready. */
const readinessMs = 2_000;
/** Trackers read the database every four seconds, those of the original as well. */
const settleSeconds = 6;

/** What commands ask of the jobs, wherever these run. */
export interface Background {
  /** Reads the database and looks at the devices, for all processes of the tracker. */
  refresh(): Promise<void>;
  /** Reads the database only. */
  reload(): Promise<void>;
  nextSweep(): Promise<void>;
  /** Says that a job has something to do. */
  wake(job: string): void;
}

export interface CoreOptions {
  /** For the log. */
  role: string;
  /** Sees every line of the log. */
  onLine: (line: string) => void;
  /** The tracker can never work as configured, for example on a newer schema. */
  onFatal: (error: unknown) => void;
  /** Opens the database and finds the jobs; resolves when devices have been looked at. */
  open: (core: Core) => Promise<{ store: Store; background: Background }>;
}

export class Core {
  readonly config: TrackerConfig;
  readonly log: Log;
  readonly topology: Topology;
  readonly devices: DeviceClient;
  readonly dispatcher: Dispatcher;
  readonly #options: CoreOptions;
  readonly #stopped = new AbortController();
  readonly #started: Promise<CommandTable>;
  readonly #memcache: Memcache;
  #store: Store | undefined;
  #lookups: Lookups | undefined;

  constructor(config: TrackerConfig, options: CoreOptions) {
    const { role, onLine } = options;
    // Refusals are answers, not faults.
    OmgfsError.tracesRefusals = false;
    this.config = config;
    this.#options = options;
    this.log = createLog({ role, level: config.logLevel, onLine });
    this.topology = new Topology(config);
    const memcache = new Memcache(this.log);
    this.#memcache = memcache;
    this.topology.onChange(() => memcache.configure(this.topology.setting('memcache_servers')));
    const skipMkcol = () => isTrue(this.topology.setting('skip_mkcol'));
    this.devices = createDeviceClient({ ...config, skipMkcol });
    this.#started = this.#start();
    this.dispatcher = new Dispatcher({ ready: this.#started, readyWaitMs, log: this.log });
  }

  get stopping(): AbortSignal {
    return this.#stopped.signal;
  }

  /** Ends what waits for the start. */
  beginStop(): void {
    this.#stopped.abort();
  }

  /** Closes everything; `stopJobs` runs while the database is still open. */
  async close(stopJobs: () => Promise<void> = async () => {}): Promise<void> {
    this.beginStop();
    await this.#started.catch(() => {});
    await stopJobs();
    await this.devices.close();
    await this.#lookups?.close();
    await this.#store?.close();
    this.#memcache.close();
  }

  /** Tries until the database answers; only an error that time does not heal ends it. */
  async openStore(schema: Pick<SchemaOptions, 'createSchema' | 'warn'>): Promise<Store> {
    const { dsn, dbUser, dbPassword, mindevcountDefault } = this.config;
    const parsed = parseDsn(dsn, { user: dbUser, password: dbPassword });
    for (let attempt = 1; ; attempt += 1) {
      try {
        const pathCache = this.#memcache;
        const options = { ...schema, mindevcountDefault, log: this.log, pathCache };
        this.#store = await openStore(parsed, options);
        return this.#store;
      } catch (error) {
        const { code, message } = toOmgfsError(error);
        if (code !== 'DB_DOWN') throw error;
        if (attempt === 1) this.log.error({ code, message }, 'database.unreachable');
        await delay(databaseRetryMs, undefined, { signal: this.stopping });
      }
    }
  }

  /** Resolves with `promise`, rejects when the tracker stops before. */
  unlessStopped<T>(promise: Promise<T>): Promise<T> {
    const stopped = new Promise<never>((_, reject) => {
      const end = () => reject(new OmgfsError('SHUTTING_DOWN'));
      this.stopping.addEventListener('abort', end, { once: true });
    });
    return Promise.race([promise, stopped]);
  }

  /** Why requests cannot be served now; undefined when they can. */
  async readiness(): Promise<string | undefined> {
    if (this.stopping.aborted) return 'the tracker is stopping';
    if (this.#store === undefined) return 'the database was not reached yet';
    if (!this.dispatcher.isReady) return 'devices were not looked at yet';
    const overdue = delay(readinessMs, 'the database does not answer in time', { ref: false });
    const answer = this.#store.ping().then(
      () => undefined,
      (error: unknown) => toOmgfsError(error).message,
    );
    return Promise.race([answer, overdue]);
  }

  async #start(): Promise<CommandTable> {
    try {
      // In a later turn, when the constructor is through.
      await Promise.resolve();
      const { store, background } = await this.#options.open(this);
      this.log.info({ engine: store.engine }, 'tracker.ready');
      return this.#commands(store, background);
    } catch (error) {
      if (!this.stopping.aborted) this.#options.onFatal(error);
      throw error;
    }
  }

  #commands(store: Store, background: Background): CommandTable {
    const parts = { store, topology: this.topology, devices: this.devices };
    const slots = new DeviceSlots(this.topology);
    const random = Math.random;
    return createCommands({
      ...parts,
      lookups: this.#createLookups(store),
      refresh: () => background.refresh(),
      reload: () => background.reload(),
      nextSweep: () => background.nextSweep(),
      wakeReplicate: () => background.wake('replicate'),
      wakeDelete: () => background.wake('delete'),
      wakeFsck: () => background.wake('fsck'),
      wakeRebalance: () => background.wake('rebalance'),
      hostname: this.config.hostname,
      resumeSeconds: this.config.resumeSeconds,
      tempfileAgeSeconds: this.config.tempfileAgeSeconds,
      copyReplica: (request) => copyOne({ ...parts, log: this.log, random, slots }, request),
      verdictOn: (file) => askAbout({ topology: this.topology, random }, file),
      signUrl: createSignUrl(this.config),
      settleSeconds,
      random,
    });
  }

  #createLookups(store: Store): Lookups {
    const lookups = new Lookups({ master: store, log: this.log });
    const configure = () => lookups.configure((name) => this.topology.setting(name));
    this.topology.onChange(configure);
    configure();
    this.#lookups = lookups;
    return lookups;
  }
}
