/**
 * Turns one request line into one reply line, whatever happens inside (I4), and counts what went
 * through. It knows nothing of sockets; a connection asks it line by line.
 */
import {
  decodeRequest,
  encodeError,
  encodeOk,
  type Fields,
  OmgfsError,
  type ReplyFields,
  toOmgfsError,
  wireError,
} from '@omgfs/protocol';
import type { CommandTable } from '../commands/command.ts';
import { CommandCounts } from '../figures/command-counts.ts';
import type { ServerReport } from '../figures/survey.ts';
import type { Log } from '../log.ts';
import { cut, RecentQueries } from './recent-queries.ts';

/** Waiting requests that `!queue` lists at most. */
const waitingShownMax = 1000;

export interface DispatcherOptions {
  /** Settles when commands can be served: the database is open and the first sweep is done. */
  ready: Promise<CommandTable>;
  /** How long a request waits for `ready` before it fails with DB_DOWN. */
  readyWaitMs: number;
  log: Log;
}

export interface CommandCall {
  command: string;
  args: Fields;
  address: string;
}

export class Dispatcher {
  readonly #recent = new RecentQueries();
  readonly counts = new CommandCounts();
  /** Requests answered since the start. */
  queries = 0;
  /** Requests being executed now. */
  processing = 0;
  /** Requests that had to wait for the tracker to become ready. */
  waited = 0;
  /** Those that wait now, as `<ip> <line>`, long lines cut. */
  readonly #waiting = new Map<number, string>();
  readonly #options: DispatcherOptions;
  #commands: CommandTable | undefined;
  /** Requests wait for it while there is one (`!want 0 queryworker`). */
  #held: { opened: Promise<void>; open: () => void } | undefined;

  constructor(options: DispatcherOptions) {
    this.#options = options;
    options.ready.then(
      (commands) => {
        this.#commands = commands;
      },
      () => {},
    );
  }

  /** Whether requests are executed at once. */
  get isReady(): boolean {
    return this.#commands !== undefined;
  }

  /** Lets requests of connections wait, for however long, or go on. */
  hold(isHeld: boolean): void {
    if (isHeld === (this.#held !== undefined)) return;
    this.#held?.open();
    this.#held = undefined;
    if (!isHeld) return;
    let open = () => {};
    const opened = new Promise<void>((resolve) => {
      open = resolve;
    });
    this.#held = { opened, open };
  }

  report(): ServerReport {
    return {
      pid: process.pid,
      queries: this.queries,
      waited: this.waited,
      processing: this.processing,
      waitingCount: this.#waiting.size,
      waiting: [...this.#waiting.values()].slice(0, waitingShownMax),
      recent: this.#recent.entries(),
      commands: this.counts.entries(),
      residentBytes: process.memoryUsage.rss(),
    };
  }

  /** Executes a line; the reply comes at once when the command needed no waiting. */
  execute(line: string, address: string): string | Promise<string> {
    const startedMs = performance.now();
    const { command, args } = decodeRequest(line);
    const callid = args.callid;
    this.processing += 1;
    const finish = (reply: string, failed: boolean): string => {
      const ms = performance.now() - startedMs;
      this.processing -= 1;
      this.queries += 1;
      this.#recent.add(address, line, ms);
      this.#count(command, { seconds: ms / 1000, failed });
      return reply;
    };
    const succeed = (fields: ReplyFields): string =>
      finish(encodeOk(callid === undefined ? fields : { ...fields, callid }), false);
    const fail = (thrown: unknown): string => finish(this.#failure(thrown, { line, callid }), true);
    try {
      const outcome =
        this.#commands === undefined || this.#held !== undefined
          ? this.#whenReady(line, address).then((commands) => run(commands, command, args, address))
          : run(this.#commands, command, args, address);
      return outcome instanceof Promise ? outcome.then(succeed, fail) : succeed(outcome);
    } catch (error) {
      return fail(error);
    }
  }

  /**
   * Executes a command for another way in than a connection; it counts as a query like any other.
   * Rejects with OmgfsError.
   */
  async call({ command, args, address }: CommandCall): Promise<ReplyFields> {
    const startedMs = performance.now();
    let failed = true;
    this.processing += 1;
    try {
      const commands = this.#commands ?? (await this.#whenReady(command, address));
      const fields = await run(commands, command, args, address);
      failed = false;
      return fields;
    } finally {
      this.processing -= 1;
      this.queries += 1;
      this.#count(command, { seconds: (performance.now() - startedMs) / 1000, failed });
    }
  }

  #count(command: string, outcome: { seconds: number; failed: boolean }): void {
    this.counts.add(this.#commands?.has(command) === true ? command : 'unknown', outcome);
  }

  async #whenReady(line: string, address: string): Promise<CommandTable> {
    this.waited += 1;
    const id = this.waited;
    this.#waiting.set(id, cut(`${address} ${line}`));
    let timer: NodeJS.Timeout | undefined;
    const overdue = new Promise<never>((_, reject) => {
      timer = setTimeout(() => {
        const message = 'The tracker has no connection to its database yet.';
        reject(new OmgfsError('DB_DOWN', { message }));
      }, this.#options.readyWaitMs);
    });
    try {
      const commands = await Promise.race([this.#options.ready, overdue]);
      clearTimeout(timer);
      while (this.#held !== undefined) await this.#held.opened;
      return commands;
    } finally {
      clearTimeout(timer);
      this.#waiting.delete(id);
    }
  }

  #failure(thrown: unknown, request: { line: string; callid: string | undefined }): string {
    const error = toOmgfsError(thrown);
    // The wire text of these is generic by the protocol, so the reason must be in the log.
    if (error.status >= 500) {
      const line = request.line.slice(0, 500);
      this.#options.log.error({ line, code: error.code, err: error }, 'command.failed');
    }
    const { callid } = request;
    return encodeError({ ...wireError(error), ...(callid === undefined ? {} : { callid }) });
  }
}

function run(
  commands: CommandTable,
  command: string,
  args: Record<string, string>,
  address: string,
): ReplyFields | Promise<ReplyFields> {
  const handler = commands.get(command);
  if (handler === undefined) throw new OmgfsError('UNKNOWN_COMMAND');
  return handler({ args, address });
}
