/**
 * A query process: it gets sockets from the front, executes their commands with a database
 * connection of its own, and knows the cluster as the jobs process describes it.
 */
import { encodeError, OmgfsError, wireError } from '@omgfs/protocol';
import type { TrackerConfig } from '../config.ts';
import { answerAdmin, isAdminLine } from '../server/admin.ts';
import { LineServer } from '../server/line-server.ts';
import { Channel } from './channel.ts';
import { type Background, Core } from './core.ts';
import type { Role } from './role.ts';
import { Watchers } from './watchers.ts';

/** How often counters are told to the front, where they survive this process. */
const countEveryMs = 500;

export class QueryRole implements Role {
  readonly #channel: Channel;
  readonly #core: Core;
  readonly #server: LineServer;
  readonly #watchers = new Watchers((any) => this.#channel.tell('watch', any));
  readonly #toWake = new Set<string>();
  readonly #counting: NodeJS.Timeout;
  #linesWanted = false;
  #counted = -1;
  #announcePicture: () => void = () => {};

  constructor(config: TrackerConfig, end: () => void) {
    const firstPicture = new Promise<void>((resolve) => {
      this.#announcePicture = resolve;
    });
    this.#core = new Core(config, {
      role: 'query',
      onLine: (line) => this.#linesWanted && this.#channel.tell('line', line),
      onFatal: (error) => this.#channel.tell('fatal', String(error)),
      open: async (core) => {
        // The jobs process makes the schema, so the database is opened after it was.
        await core.unlessStopped(firstPicture);
        const store = await core.openStore({ createSchema: false });
        return { store, background: this.#background() };
      },
    });
    this.#server = this.#createServer(config);
    this.#channel = new Channel(process, {
      connection: (_, socket) => {
        if (socket !== undefined) this.#server.adopt(socket);
      },
      picture: (picture) => {
        this.#core.topology.restore(picture);
        this.#announcePicture();
      },
      serverReport: () => this.#core.dispatcher.report(),
      watch: (wanted) => {
        this.#linesWanted = wanted;
      },
      line: (line) => this.#watchers.show(line),
      stop: async ({ graceMs }) => {
        this.#core.beginStop();
        await this.#server.close(graceMs);
        this.#count();
        await this.#core.close();
        setImmediate(end);
      },
    });
    this.#channel.tell('hello', { httpPort: undefined });
    this.#counting = setInterval(() => this.#count(), countEveryMs);
    this.#counting.unref();
  }

  /** Answers the requests in flight with an error, before the process ends for a fault of ours. */
  fail(error: unknown): void {
    this.#core.log.error({ err: error }, 'process.failed');
    this.#count();
    this.#server.abort(encodeError(wireError(new OmgfsError('FAILURE'))));
  }

  #createServer(config: TrackerConfig): LineServer {
    const { dispatcher } = this.#core;
    const admin = {
      survey: () => this.#channel.call('survey', undefined),
      want: (job: string, count: number) => this.#channel.tell('want', { job, count }),
      wake: (job: string) => this.#channel.tell('wake', job),
      toggleWatch: this.#watchers.toggle.bind(this.#watchers),
      shutdown: (how: 'now' | 'graceful') => this.#channel.tell('shutdown', how),
    };
    return new LineServer({
      connectionsMax: Math.ceil(config.connectionsMax / config.queryProcesses),
      onClose: (connection) => this.#watchers.remove(connection),
      handle: (line, connection) =>
        isAdminLine(line)
          ? answerAdmin(admin, { line, connection })
          : dispatcher.execute(line, connection.address),
    });
  }

  #background(): Background {
    return {
      refresh: async () => void (await this.#channel.call('refresh', undefined)),
      nextSweep: async () => void (await this.#channel.call('nextSweep', undefined)),
      wake: (job) => this.#wake(job),
    };
  }

  /** Many closes in one turn are one message. */
  #wake(job: string): void {
    if (this.#toWake.size === 0) {
      setImmediate(() => {
        for (const name of this.#toWake) this.#channel.tell('wake', name);
        this.#toWake.clear();
      });
    }
    this.#toWake.add(job);
  }

  #count(): void {
    const { queries, waited } = this.#core.dispatcher;
    if (queries === this.#counted) return;
    this.#counted = queries;
    this.#channel.tell('counted', { queries, waited });
  }
}
