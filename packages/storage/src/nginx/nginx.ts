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
import { type Disk, View, viewDir } from './view.ts';

export interface NginxOptions extends NginxPlan {
  /** Program, or undefined to look for it. */
  program: string | undefined;
  /** Folders to look for it in, as PATH has them. */
  path: string;
  /** Devices that it may read now. */
  disks: () => readonly Disk[];
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
  /** Where the kernel is to refuse links, and can. */
  #view: View | undefined;
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
    this.#view = await this.#createView();
    // Links are refused before nginx sees them then.
    const seen = this.#view && ({ docroot: viewDir, links: 'follow' } as const);
    writeFileSync(this.#configFile, nginxConfig({ ...this.#options, ...seen }));
    process.once('exit', this.#onExit);
    await this.#launch();
  }

  /** Lets requests in flight end for at most `graceMs`. */
  async stop({ graceMs }: { graceMs: number }): Promise<void> {
    this.#stopping = true;
    this.#view?.stop();
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

  async #createView(): Promise<View | undefined> {
    const { links, listen, nodeOnly, disks, log } = this.#options;
    if (links !== 'refuse' || nodeOnly) return undefined;
    // A right to low ports, given to somebody who is not root, ends at a user namespace.
    if (process.getuid?.() !== 0 && listen.some(({ port }) => port < 1024)) return undefined;
    const view = new View({ disks, log });
    return (await view.isPossible()) ? view : undefined;
  }

  async #launch(): Promise<void> {
    const { log, links } = this.#options;
    const view = this.#view;
    const nginx = findNginx(this.#options);
    const command = [nginx, '-p', this.#options.runDir, '-c', this.#configFile, '-e', 'stderr'];
    const [program = nginx, ...args] = view?.around(command) ?? command;
    // It appears when nginx has its ports: until then whatever accepts there is somebody else.
    rmSync(this.#pidFile, { force: true });
    // Of one that was killed; nginx does not take it over.
    rmSync(this.#options.statusSocket, { force: true });
    const orders = view === undefined ? [] : (['pipe', 'pipe'] as const);
    const child = spawn(program, args, {
      cwd: this.#options.runDir,
      stdio: ['ignore', 'ignore', 'pipe', ...orders],
    });
    this.#child = child;
    const lastWords: string[] = [];
    const said = (reason: string) => {
      lastWords.push(reason);
      if (lastWords.length > 5) lastWords.shift();
      log.warn({ reason }, 'nginx.said');
    };
    if (child.stderr !== null) createInterface({ input: child.stderr }).on('line', said);
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
    await view?.follow(child);
    const refuses = view === undefined ? 'nginx' : 'kernel';
    const refusedBy = links === 'follow' ? undefined : refuses;
    log.info({ program: nginx, pid: child.pid, linksRefusedBy: refusedBy }, 'nginx.started');
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
function findNginx({ program, path }: Pick<NginxOptions, 'program' | 'path'>): string {
  if (program !== undefined) {
    if (!program.includes('/') || existsSync(program)) return program;
    const message = `nginx could not be started: --serverbin ${program} does not exist.`;
    throw new OmgfsError('FAILURE', { message });
  }
  const folders = [...path.split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  const found = folders.map((folder) => join(folder, 'nginx')).find((file) => existsSync(file));
  if (found !== undefined) return found;
  throw new OmgfsError('FAILURE', {
    message: 'nginx is not installed: install it, name it with --serverbin, or take out --server.',
  });
}
