/**
 * One request at a time on each connection. node:http starts pipelined requests all at once, so
 * that one packet could open thousands of files; here they wait for their turn, and a connection
 * that lets too many wait is closed (I4, I7).
 */
import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';

type Task = () => Promise<void>;

interface Line {
  waiting: Task[];
  /** The request that came last; its body may still be on the way. */
  latest: IncomingMessage;
}

const waitingMax = 64;

export class Turns {
  readonly #lines = new WeakMap<Socket, Line>();

  /** Runs a task, which never fails, after those that came before it on the same connection. */
  take(req: IncomingMessage, task: Task): void {
    const { socket } = req;
    const line = this.#lines.get(socket);
    if (line === undefined) {
      const own: Line = { waiting: [], latest: req };
      this.#lines.set(socket, own);
      void this.#runAll(socket, own, task);
    } else if (line.waiting.length < waitingMax) {
      line.latest = req;
      line.waiting.push(task);
    } else {
      line.waiting.length = 0;
      socket.destroy();
    }
  }

  /**
   * Ends a connection on which something came that is no request. `answer` is sent if nobody else
   * is owed one; whole requests before it still get theirs.
   */
  end(socket: Socket, answer: string): void {
    const line = this.#lines.get(socket);
    if (line === undefined) {
      if (socket.writable) socket.write(answer);
      socket.destroySoon();
    } else if (line.latest.complete) {
      // The parser stays broken; reading on would only bring the same error again.
      socket.pause();
      line.waiting.push(async () => socket.destroySoon());
    } else {
      // What is broken is the body of the request that is being served.
      socket.destroy();
    }
  }

  async #runAll(socket: Socket, line: Line, first: Task): Promise<void> {
    for (let task: Task | undefined = first; task !== undefined; task = line.waiting.shift()) {
      if (!socket.destroyed) await task();
    }
    this.#lines.delete(socket);
  }
}
