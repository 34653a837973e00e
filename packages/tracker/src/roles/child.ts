/**
 * A process that the front keeps alive: started again when it ends, with a growing wait while it
 * ends soon after its start.
 */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Log } from '../log.ts';
import { Channel, type Handlers } from './channel.ts';

export interface ChildOptions {
  role: 'query' | 'jobs' | 'http';
  /** Arguments of the tracker, which its processes read as well. */
  args: readonly string[];
  log: Log;
  handlers: Handlers;
  /** A file that it gets as descriptor `sharedFd`. */
  fd?: number;
  /** It can be spoken to. */
  onUp: (hello: { httpPort: number | undefined }) => void;
  /** It ended, wanted or not. */
  onDown: () => void;
}

/** The descriptor after standard input, output, errors and the channel. */
export const sharedFd = 4;

const script = fileURLToPath(new URL('../bin/tracker-role.js', import.meta.url));
const restartMsMin = 100;
const restartMsMax = 5_000;
/** A process that lived so long was not faulty from the start. */
const healthyMs = 10_000;
/** What a process may take beyond its grace before it is killed. */
const killAfterMs = 5_000;

export class Child {
  readonly #options: ChildOptions;
  #process: ChildProcess | undefined;
  #channel: Channel | undefined;
  #failures = 0;
  #stopping = false;
  #restart: NodeJS.Timeout | undefined;
  #onEnd: () => void = () => {};

  constructor(options: ChildOptions) {
    this.#options = options;
    this.#start();
  }

  /** The way to speak to it; undefined while it is not up. */
  get channel(): Channel | undefined {
    return this.#channel;
  }

  /** Lets it finish and waits for its end; it is killed when that takes too long. */
  async stop(graceMs: number): Promise<void> {
    this.#stopping = true;
    clearTimeout(this.#restart);
    const child = this.#process;
    if (child === undefined) return;
    const ended = new Promise<void>((resolve) => {
      this.#onEnd = resolve;
    });
    const killer = setTimeout(() => child.kill('SIGKILL'), graceMs + killAfterMs);
    if (this.#channel === undefined) child.kill('SIGKILL');
    else this.#channel.tell('stop', { graceMs });
    await ended;
    clearTimeout(killer);
  }

  #start(): void {
    const { role, args, log, handlers, fd, onUp, onDown } = this.#options;
    const startedAtMs = performance.now();
    // Values of V8 pass through as they are, undefined and large numbers included.
    const child = fork(script, [role, ...args], {
      serialization: 'advanced',
      stdio: ['inherit', 'inherit', 'inherit', 'ipc', ...(fd === undefined ? [] : [fd])],
    });
    this.#process = child;
    const channel = new Channel(child, {
      ...handlers,
      hello: (hello) => {
        this.#channel = channel;
        onUp(hello);
      },
    });
    let over = false;
    const end = (how: string) => {
      if (over) return;
      over = true;
      channel.close();
      this.#process = undefined;
      this.#channel = undefined;
      this.#onEnd();
      onDown();
      if (this.#stopping) return;
      this.#failures = performance.now() - startedAtMs > healthyMs ? 0 : this.#failures + 1;
      const delayMs = Math.min(restartMsMax, restartMsMin * 2 ** Math.min(this.#failures, 10));
      log.error({ child: role, childPid: child.pid, how, restartInMs: delayMs }, 'process.ended');
      this.#restart = setTimeout(() => this.#start(), delayMs);
    };
    // Its end may be noticed a little later.
    child.once('disconnect', () => {
      this.#channel = undefined;
    });
    child.once('error', (error) => end(error.message));
    child.once('exit', (code, signal) => end(signal ?? `exit code ${code}`));
  }
}
