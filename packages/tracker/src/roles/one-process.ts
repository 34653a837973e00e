/** A tracker in one process: line server, HTTP API, commands and jobs share an event loop. */
import type { TrackerConfig } from '../config.ts';
import type { Survey } from '../figures/survey.ts';
import { answerAdmin, isAdminLine } from '../server/admin.ts';
import { LineServer, type ListenAddress } from '../server/line-server.ts';
import { Core } from './core.ts';
import { HttpServers } from './http-servers.ts';
import { JobRunner } from './job-runner.ts';
import type { StopOptions, Tracker, TrackerHooks } from './lifecycle.ts';
import { Watchers } from './watchers.ts';

export class OneProcessTracker implements Tracker {
  readonly #config: TrackerConfig;
  readonly #watchers = new Watchers();
  readonly #jobs = new JobRunner();
  readonly #core: Core;
  readonly #http: HttpServers;
  readonly #server: LineServer;
  readonly #startedAtMs = performance.now();
  #queryWorkers: number;

  constructor(config: TrackerConfig, hooks: TrackerHooks) {
    this.#config = config;
    this.#queryWorkers = config.queryWorkers;
    this.#core = new Core(config, {
      role: 'tracker',
      onLine: (line) => this.#watchers.show(line),
      onFatal: hooks.onFatal,
      open: (core) => this.#jobs.open(core),
    });
    for (const warning of config.warnings) this.#core.log.warn({ warning }, 'config.unused');
    this.#http = new HttpServers(this.#core, () => this.#survey());
    const { dispatcher } = this.#core;
    const admin = {
      survey: () => this.#survey(),
      want: (job: string, count: number) => this.#want(job, count),
      wake: (job: string) => this.#jobs.wake(job),
      toggleWatch: this.#watchers.toggle.bind(this.#watchers),
      shutdown: hooks.onShutdown,
    };
    this.#server = new LineServer({
      connectionsMax: config.connectionsMax,
      onClose: (connection) => this.#watchers.remove(connection),
      handle: (line, connection) =>
        isAdminLine(line)
          ? answerAdmin(admin, { line, connection })
          : dispatcher.execute(line, connection.address),
    });
  }

  async listen(): Promise<ListenAddress[]> {
    const httpPort = await this.#http.listen();
    const addresses = [];
    for (const address of this.#config.listen) {
      const bound = await this.#server.listen(address);
      this.#core.log.info({ ...bound, httpPort }, 'tracker.listening');
      addresses.push(bound);
    }
    return addresses;
  }

  async close({ graceMs }: StopOptions): Promise<void> {
    this.#core.beginStop();
    await Promise.all([this.#server.close(graceMs), this.#http.close({ graceMs })]);
    await this.#core.close(() => this.#jobs.stop());
    this.#core.log.info({}, 'tracker.stopped');
  }

  /** One process does the work of any number of query workers, but for none. */
  #want(job: string, count: number): void {
    if (job !== 'queryworker') {
      this.#jobs.want(job, count);
      return;
    }
    this.#queryWorkers = count;
    this.#core.dispatcher.hold(count === 0);
  }

  async #survey(): Promise<Survey> {
    return {
      uptimeSeconds: Math.floor((performance.now() - this.#startedAtMs) / 1000),
      servers: [this.#core.dispatcher.report()],
      queryworkers: {
        count: this.#queryWorkers,
        desired: this.#queryWorkers,
        pids: this.#queryWorkers === 0 ? [] : [process.pid],
      },
      past: { queries: 0, waited: 0, commands: [], sent: [] },
      jobs: this.#jobs.report(),
    };
  }
}
