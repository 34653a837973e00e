/** Runs an nginx as the data plane of the node: started, restarted when it dies, stopped. */
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { get } from 'node:http';
import { connect } from 'node:net';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { text } from 'node:stream/consumers';
import { setTimeout as delay } from 'node:timers/promises';
import { OmgfsError } from '@omgfs/protocol';
import type { Log } from '../log.ts';
import { endLeftoverNginx } from './leftovers.ts';
import { type NginxPlan, nginxConfig } from './nginx-config.ts';

export interface NginxOptions extends NginxPlan {
  /** Program, or undefined to look for it. */
  program: string | undefined;
  /** Folders to look for it in, as PATH has them. */
  path: string;
  log: Log;
}

export interface NginxStatus {
  /** Open now. */
  connections: number;
  /** Also those that it passed on to the node. */
  requests: number;
}

const startMsMax = 10_000;
const statusMsMax = 500;
const pollMs = 20;
const restartMs = { first: 200, most: 10_000 };

export class Nginx {
  readonly #options: NginxOptions;
  readonly #configFile: string;
  #child: ChildProcess | undefined;
  #stopping = false;
  #restarts = 0;
  /** However this process ends by itself, nginx must not go on alone. */
  readonly #onExit = () => this.#child?.kill('SIGTERM');

  constructor(options: NginxOptions) {
    this.#options = options;
    this.#configFile = join(options.runDir, 'nginx.conf');
  }

  /** Where our own process has to serve. */
  get nodeSocket(): string {
    return this.#options.nodeSocket;
  }

  /** Makes its directory, which the socket lies in as well. */
  prepare(): void {
    mkdirSync(this.#options.runDir, { recursive: true, mode: 0o700 });
  }

  /** Resolves when it accepts connections. @throws FAILURE with its last words. */
  async start(): Promise<void> {
    // One that a killed node left behind holds the port.
    await endLeftoverNginx(this.#options.runDir);
    writeFileSync(this.#configFile, nginxConfig(this.#options));
    process.once('exit', this.#onExit);
    await this.#launch();
  }

  /** Lets requests in flight end for at most `graceMs`. */
  async stop({ graceMs }: { graceMs: number }): Promise<void> {
    this.#stopping = true;
    process.off('exit', this.#onExit);
    const child = this.#child;
    if (child === undefined || child.exitCode !== null || child.signalCode !== null) return;
    const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()));
    child.kill('SIGQUIT');
    const hurry = setTimeout(() => child.kill('SIGTERM'), graceMs);
    await ended;
    clearTimeout(hurry);
  }

  /** What it did since it was started; undefined when it does not answer soon. */
  async status(): Promise<NginxStatus | undefined> {
    const { statusSocket: socketPath } = this.#options;
    const page = await new Promise<string>((resolve, reject) => {
      const request = get({ socketPath, agent: false, timeout: statusMsMax });
      request.once('timeout', () => request.destroy(new Error('nginx does not answer')));
      request.once('error', reject).once('response', (reply) => resolve(text(reply)));
    }).catch(() => '');
    const [, connections, requests] =
      /^Active connections: (\d+)[\s\S]*?\n(?: \d+){2} (\d+)/.exec(page) ?? [];
    if (requests === undefined) return undefined;
    return { connections: Number(connections), requests: Number(requests) };
  }

  get #pidFile(): string {
    return join(this.#options.runDir, 'nginx.pid');
  }

  #pid(): number | undefined {
    try {
      const pid = Number(readFileSync(this.#pidFile, 'utf8'));
      return Number.isInteger(pid) && pid > 1 ? pid : undefined;
    } catch {
      return undefined;
    }
  }

  async #launch(): Promise<void> {
    const { log } = this.#options;
    const program = this.#options.program ?? findNginx(this.#options.path);
    const args = ['-p', this.#options.runDir, '-c', this.#configFile, '-e', 'stderr'];
    // It appears when nginx has its ports: until then whatever accepts there is somebody else.
    rmSync(this.#pidFile, { force: true });
    // Of one that was killed; nginx does not take it over.
    rmSync(this.#options.statusSocket, { force: true });
    const stdio = ['ignore', 'ignore', 'pipe'] as const;
    const child = spawn(program, args, { cwd: this.#options.runDir, stdio: [...stdio] });
    this.#child = child;
    const lastWords: string[] = [];
    createInterface({ input: child.stderr }).on('line', (reason) => {
      lastWords.push(reason);
      if (lastWords.length > 5) lastWords.shift();
      log.warn({ reason }, 'nginx.said');
    });
    const failure = (what: string) => {
      const message = `nginx ${what}: ${lastWords.join(' ') || 'it said nothing'}`;
      return new OmgfsError('FAILURE', { message });
    };
    let gone: OmgfsError | undefined;
    child.once('error', (error) => {
      gone = failure(`could not be started (${error.message})`);
    });
    // Not 'close': workers of a killed master keep its standard error open.
    child.once('exit', (code, signal) => {
      gone ??= failure(`ended (${signal ?? `exit code ${code}`})`);
    });
    const deadlineMs = performance.now() + startMsMax;
    while (gone === undefined && !(this.#pid() === child.pid && (await this.#accepts()))) {
      if (performance.now() > deadlineMs) {
        child.kill('SIGTERM');
        throw failure('does not accept connections');
      }
      await delay(pollMs);
    }
    if (gone !== undefined) throw gone;
    log.info({ program, pid: child.pid }, 'nginx.started');
    this.#restarts = 0;
    if (child.exitCode !== null || child.signalCode !== null) void this.#restart();
    else child.once('exit', () => void this.#restart());
  }

  async #restart(): Promise<void> {
    while (!this.#stopping) {
      const waitMs = Math.min(restartMs.most, restartMs.first * 2 ** this.#restarts);
      this.#restarts += 1;
      this.#options.log.error({ waitMs }, 'nginx.died');
      await delay(waitMs);
      if (this.#stopping) return;
      try {
        await endLeftoverNginx(this.#options.runDir, { orphansOnly: true });
        await this.#launch();
        return;
      } catch (error) {
        this.#options.log.error({ err: error }, 'nginx.failed');
      }
    }
  }

  #accepts(): Promise<boolean> {
    const [place] = this.#options.listen;
    const host = place?.host === '0.0.0.0' ? '127.0.0.1' : place?.host;
    return new Promise((resolve) => {
      const socket = connect({ host: host ?? '127.0.0.1', port: place?.port ?? 0 });
      socket.once('connect', () => resolve(true)).once('error', () => resolve(false));
      socket.once('connect', () => socket.destroy());
    });
  }
}

/** @throws FAILURE when it is not installed. */
function findNginx(path: string): string {
  const folders = [...path.split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  const found = folders.map((folder) => join(folder, 'nginx')).find((file) => existsSync(file));
  if (found !== undefined) return found;
  throw new OmgfsError('FAILURE', {
    message: 'nginx is not installed: install it, name it with --serverbin, or take out --server.',
  });
}
