/**
 * One daemon as a child process: started until it says that it listens, restarted on the port it
 * got, killed with the parent. Its log goes to a file.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream } from 'node:fs';
import { createInterface } from 'node:readline';
import { OmgfsError } from '@omgfs/protocol';

export interface DaemonOptions {
  /** For messages: `tracker1`, `node2`. */
  name: string;
  /** The built script to run. */
  script: string;
  /**
   * Arguments; `port` is 0 for the first start without a wish, later the one it got. `said` is the
   * log line of its last start that said that it listens; empty before.
   */
  argsFor: (port: number, said: Readonly<Record<string, unknown>>) => string[];
  /** Port to begin with; 0 lets the system choose. */
  port: number;
  /** Event of the log line that says it listens, and the field of that line with its port. */
  ready: { event: string; portField: string };
  logFile: string;
  /** Keeps it out of the process group that a Ctrl-C reaches; the parent stops it in order. */
  detached: boolean;
  /** Called when there is a new process. */
  onSpawn: () => void;
  /** Called with what happened when it ends without having been told to. */
  onUnexpectedEnd: (message: string) => void;
}

/** One that ends is noticed at once; a busy machine takes its time. */
const startMsMax = 90_000;
const stopMsMax = 15_000;
const lastLinesKept = 20;

/** Children that must not outlive this process. */
const living = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of living) child.kill('SIGKILL');
});

export class Daemon {
  readonly name: string;
  readonly #options: DaemonOptions;
  #port: number;
  #said: Readonly<Record<string, unknown>> = {};
  #child: ChildProcess | undefined;
  /** Whether its end would be a surprise. */
  #listening = false;
  readonly #lastLines: string[] = [];

  constructor(options: DaemonOptions) {
    this.name = options.name;
    this.#options = options;
    this.#port = options.port;
  }

  get port(): number {
    return this.#port;
  }

  /** The log line that said that it listens; empty before its first start. */
  get said(): Readonly<Record<string, unknown>> {
    return this.#said;
  }

  /** Process id while it runs. */
  get pid(): number | undefined {
    return this.running ? this.#child?.pid : undefined;
  }

  get running(): boolean {
    const child = this.#child;
    if (child?.pid === undefined) return false;
    return child.exitCode === null && child.signalCode === null;
  }

  /** Starts it and waits until it listens. @throws FAILURE with its last words. */
  async start(): Promise<void> {
    if (this.running) return;
    const { script, argsFor, logFile, detached, onSpawn, onUnexpectedEnd } = this.#options;
    this.#lastLines.length = 0;
    const child = spawn(process.execPath, [script, ...argsFor(this.#port, this.#said)], {
      stdio: ['ignore', 'pipe', 'pipe'],
      detached,
    });
    this.#child = child;
    living.add(child);
    child.once('exit', () => living.delete(child));
    onSpawn();
    const log = createWriteStream(logFile, { flags: 'a' });
    // A log that cannot be written, on a full disk for example, must not end the cluster.
    log.on('error', () => {});
    const keep = (line: string) => {
      log.write(`${line}\n`);
      this.#keep(line);
    };
    createInterface({ input: child.stderr }).on('line', keep);
    await new Promise<void>((resolve, reject) => {
      const give = (what: string) => reject(this.#failure(what));
      const timer = setTimeout(() => give(`did not listen within ${startMsMax} ms`), startMsMax);
      child.once('error', (error) => give(`could not be started (${error.message})`));
      // Not 'exit': its last words may come later.
      child.once('close', (code, signal) => {
        clearTimeout(timer);
        log.end();
        const how = signal ?? `exit code ${code}`;
        give(`ended at once (${how})`);
        if (this.#child !== child || !this.#listening) return;
        this.#listening = false;
        onUnexpectedEnd(this.#failure(`ended unexpectedly (${how})`).message);
      });
      createInterface({ input: child.stdout }).on('line', (line) => {
        keep(line);
        const said = this.#readyLine(line);
        if (said === undefined) return;
        clearTimeout(timer);
        this.#said = said;
        this.#port = Number(said[this.#options.ready.portField]);
        this.#listening = true;
        resolve();
      });
    });
  }

  /** Sends a signal and waits for the end. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.running) return;
    this.#listening = false;
    const ended = once(child, 'exit');
    child.kill(signal);
    await ended;
  }

  /** Asks it to stop, and kills it when it does not. */
  async stop(): Promise<void> {
    const child = this.#child;
    if (child === undefined || !this.running) return;
    const killer = setTimeout(() => child.kill('SIGKILL'), stopMsMax);
    await this.kill('SIGTERM');
    clearTimeout(killer);
  }

  #readyLine(line: string): Record<string, unknown> | undefined {
    const { event } = this.#options.ready;
    if (!line.includes(event)) return undefined;
    try {
      const fields = JSON.parse(line) as Record<string, unknown>;
      return fields.event === event ? fields : undefined;
    } catch {
      return undefined;
    }
  }

  #keep(line: string): void {
    this.#lastLines.push(line);
    if (this.#lastLines.length > lastLinesKept) this.#lastLines.shift();
  }

  #failure(what: string): OmgfsError {
    const words = this.#lastLines.length === 0 ? 'it said nothing' : this.#lastLines.join('\n');
    return new OmgfsError('FAILURE', {
      message: `${this.name} ${what}; see ${this.#options.logFile}. Its last words:\n${words}`,
    });
  }
}
