/**
 * Ends transfers whose clients are too slow: each holds buffers and one of the places for files.
 * Only the time in which this process waits for the client counts, never that in which it waits for
 * a storage node or the database itself.
 */
import type { IncomingMessage } from 'node:http';

export interface PaceRules {
  /** Bytes a second that a client must send or take; 0 for no such rule. */
  rateMin: number;
  /** Over how long a wait for the client that is measured, in milliseconds. */
  windowMs: number;
  /** Told of each client whose connection is ended. */
  onSlow: (request: IncomingMessage) => void;
}

interface Watched {
  waitedMs: number;
  /** Bytes that had moved when the window began. */
  moved: number;
}

/** How often in a window is looked for whom each transfer waits. */
const looksPerWindow = 100;

export class Pace {
  readonly #rules: PaceRules;
  readonly #lookMs: number;
  readonly #watched = new Map<IncomingMessage, Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(rules: PaceRules) {
    this.#rules = rules;
    this.#lookMs = Math.max(1, Math.round(rules.windowMs / looksPerWindow));
  }

  begin(request: IncomingMessage): void {
    if (this.#rules.rateMin === 0) return;
    this.#watched.set(request, { waitedMs: 0, moved: movedOf(request) });
    this.#timer ??= setInterval(() => this.#look(), this.#lookMs).unref();
  }

  end(request: IncomingMessage): void {
    this.#watched.delete(request);
    if (this.#watched.size > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #look(): void {
    const { rateMin, windowMs, onSlow } = this.#rules;
    for (const [request, watched] of this.#watched) {
      if (!waitsForClient(request)) continue;
      // Not the time that passed: a process that was held up has not waited for anybody.
      watched.waitedMs += this.#lookMs;
      if (watched.waitedMs < windowMs) continue;
      const moved = movedOf(request);
      if (((moved - watched.moved) * 1000) / windowMs >= rateMin) {
        this.#watched.set(request, { waitedMs: 0, moved });
      } else {
        this.#watched.delete(request);
        onSlow(request);
        request.socket.destroy();
      }
    }
  }
}

/** Bytes that lie here are not waited for, be it for those of a body or for their reader. */
function waitsForClient({ socket, complete, readableLength }: IncomingMessage): boolean {
  return socket.writableLength > 0 || (!complete && readableLength === 0);
}

/** What has come, and what was handed to the kernel. */
function movedOf({ socket }: IncomingMessage): number {
  return socket.bytesRead + socket.bytesWritten - socket.writableLength;
}
