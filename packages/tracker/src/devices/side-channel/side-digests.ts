/**
 * Digests computed by the storage nodes themselves (spec §8.3, §9.3), so that the bytes need not
 * travel. Whatever goes wrong means "not known this way": the caller reads the file instead.
 */
import type { HashType } from '@omgfs/protocol';
import { LineSocket } from './line-socket.ts';

export interface SideDigestOptions {
  /** Of the side channel, the same on every node. */
  port: number;
  connTimeoutMs: number;
  nodeTimeoutMs: number;
}

const connectionsPerHost = 4;
/** A node without a side channel is not asked again for so long. */
const silenceMs = 60_000;
/** A disk that reads slower than this is not waited for (spec §9.3). */
const bytesPerMs = 2 * 1024 * 1.024;
/** How long a digest for fsck may wait behind others. */
const backgroundMs = 3_600_000;

interface HostState {
  idle: LineSocket[];
  open: number;
  waiting: (() => void)[];
  silentUntilMs: number;
}

export class SideDigests {
  readonly #options: SideDigestOptions;
  readonly #hosts = new Map<string, HostState>();
  /** Connections on which somebody waits. */
  readonly #active = new Set<LineSocket>();
  #closed = false;

  constructor(options: SideDigestOptions) {
    this.#options = options;
  }

  /** @returns undefined when the node did not say. */
  async digest(
    url: string,
    type: HashType,
    options: { background: boolean; signal?: AbortSignal | undefined },
  ): Promise<{ hex: string; bytes: number } | undefined> {
    const { hostname: host, pathname } = new URL(url);
    const state = this.#stateOf(host);
    if (this.#closed || performance.now() < state.silentUntilMs) return undefined;
    if (state.open >= connectionsPerHost) {
      await new Promise<void>((resolve) => state.waiting.push(resolve));
    } else {
      state.open += 1;
    }
    let socket: LineSocket | undefined;
    const abort = () => socket?.close();
    options.signal?.addEventListener('abort', abort, { once: true });
    // Much may have happened while it waited for its turn, and while it connects.
    const isVain = () => this.#closed || options.signal?.aborted === true;
    try {
      if (isVain() || performance.now() < state.silentUntilMs) return undefined;
      socket = openOne(state.idle) ?? (await this.#connect(host, state));
      this.#active.add(socket);
      if (isVain()) throw new Error('stopped');
      return await this.#ask(socket, { pathname, type, background: options.background });
    } catch {
      socket?.close();
      return undefined;
    } finally {
      options.signal?.removeEventListener('abort', abort);
      if (socket !== undefined) this.#active.delete(socket);
      if (socket?.isOpen === true) state.idle.push(socket);
      const next = state.waiting.shift();
      if (next !== undefined) next();
      else state.open -= 1;
    }
  }

  close(): void {
    this.#closed = true;
    for (const { idle } of this.#hosts.values()) for (const socket of idle) socket.close();
    for (const socket of this.#active) socket.close();
  }

  #stateOf(host: string): HostState {
    const known = this.#hosts.get(host);
    if (known !== undefined) return known;
    const state = { idle: [], open: 0, waiting: [], silentUntilMs: 0 };
    this.#hosts.set(host, state);
    return state;
  }

  async #connect(host: string, state: HostState): Promise<LineSocket> {
    const { port, connTimeoutMs: timeoutMs } = this.#options;
    try {
      return await LineSocket.open({ host, port, timeoutMs });
    } catch (error) {
      state.silentUntilMs = performance.now() + silenceMs;
      throw error;
    }
  }

  async #ask(
    socket: LineSocket,
    request: { pathname: string; type: HashType; background: boolean },
  ): Promise<{ hex: string; bytes: number } | undefined> {
    const { pathname, type, background } = request;
    const { nodeTimeoutMs } = this.#options;
    socket.send(`size ${pathname}\r\n`);
    const [sizeOf, size] = (await socket.next(nodeTimeoutMs)).split(' ');
    const bytes = Number(size);
    if (sizeOf !== pathname || !Number.isSafeInteger(bytes)) return unusable(socket);
    if (bytes < 0) return undefined;
    socket.send(`${type} ${pathname}${background ? ' fsck' : ''}\r\n`);
    const patienceMs = bytes / bytesPerMs + (background ? backgroundMs : nodeTimeoutMs);
    const reply = await socket.next(patienceMs);
    const prefix = `${pathname} ${type}=`;
    if (!reply.startsWith(prefix)) return unusable(socket);
    const hex = reply.slice(prefix.length);
    return /^[0-9a-f]{32,128}$/.test(hex) ? { hex, bytes } : undefined;
  }
}

/** One that the node has not closed meanwhile. */
function openOne(idle: LineSocket[]): LineSocket | undefined {
  let socket = idle.pop();
  while (socket?.isOpen === false) socket = idle.pop();
  return socket;
}

/** An old server, or something else entirely: the connection is of no use. */
function unusable(socket: LineSocket): undefined {
  socket.close();
  return undefined;
}
