/**
 * A query process: it gets sockets from the front, executes their commands with a database
 * connection of its own, and knows the cluster as the jobs process describes it.
 */
import type { Socket } from 'node:net';
import { isRepeatable } from '../commands/repeatable.ts';
import type { TrackerConfig } from '../config.ts';
import { answerAdmin, isAdminLine } from '../server/admin.ts';
import { LineServer } from '../server/line-server.ts';
import { Channel } from './channel.ts';
import { sharedFd } from './child.ts';
import { Core } from './core.ts';
import type { Role } from './lifecycle.ts';
import { RemoteJobs } from './remote-jobs.ts';
import { type Handed, LedgerWriter } from './survival/ledger.ts';
import { Watchers } from './watchers.ts';

/** How often counters are told to the front, where they survive this process. */
const countEveryMs = 500;

export class QueryRole implements Role {
  readonly #channel: Channel;
  readonly #core: Core;
  readonly #server: LineServer;
  readonly #watchers = new Watchers((any) => this.#channel.tell('watch', any));
  readonly #closed: number[] = [];
  readonly #ledger: LedgerWriter;
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
        return { store, background: new RemoteJobs(() => this.#channel) };
      },
    });
    this.#server = this.#createServer(config);
    // Another process would not know who watches.
    this.#ledger = new LedgerWriter(sharedFd, (connection) =>
      this.#watchers.has(connection) ? undefined : connection.account(),
    );
    this.#channel = new Channel(process, {
      connection: (handed, socket) => this.#adopt(handed, socket),
      picture: (picture) => {
        this.#core.topology.restore(picture);
        this.#announcePicture();
      },
      serverReport: () => this.#core.dispatcher.report(),
      watch: (wanted) => {
        this.#linesWanted = wanted;
      },
      line: (line) => this.#watchers.show(line),
      hold: (isHeld) => this.#core.dispatcher.hold(isHeld),
      stop: async ({ graceMs }) => {
        this.#core.beginStop();
        await this.#server.close(graceMs);
        this.#count();
        this.#announceClosed();
        await this.#core.close();
        setImmediate(end);
      },
    });
    this.#channel.tell('hello', { httpPort: undefined });
    this.#counting = setInterval(() => this.#count(), countEveryMs);
    this.#counting.unref();
  }

  fail(error: unknown): void {
    this.#ledger.flush();
    this.#core.log.error({ err: error }, 'process.failed');
    this.#count();
  }

  #adopt(handed: Handed, socket: Socket | undefined): void {
    const connection = socket && this.#server.adopt(socket);
    if (connection === undefined) {
      this.#noteClosed(handed.id);
      return;
    }
    this.#ledger.add(connection, handed);
    const { owed, midLine, text = '', started = false } = handed.account;
    if (owed === 0 && !midLine) return;
    const again = started && isRepeatable(text.split('\n', 1)[0] ?? '');
    connection.inherit(handed.account, { again });
  }

  #noteClosed(id: number): void {
    if (this.#closed.length === 0) setImmediate(() => this.#announceClosed());
    this.#closed.push(id);
  }

  /** The front closes its copies, and only then the clients see the end. */
  #announceClosed(): void {
    if (this.#closed.length > 0) this.#channel.tell('closed', this.#closed.splice(0));
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
      onChange: (connection) => this.#ledger.touch(connection),
      onClose: (connection) => {
        this.#watchers.remove(connection);
        const id = this.#ledger.remove(connection);
        if (id !== undefined) this.#noteClosed(id);
      },
      handle: (line, connection) =>
        isAdminLine(line)
          ? answerAdmin(admin, { line, connection })
          : dispatcher.execute(line, connection.address),
    });
  }

  #count(): void {
    const { queries, waited, counts } = this.#core.dispatcher;
    if (queries === this.#counted) return;
    this.#counted = queries;
    this.#channel.tell('counted', { queries, waited, commands: counts.entries() });
  }
}
