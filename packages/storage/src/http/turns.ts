/**
 * One request at a time on each connection. node:http starts pipelined requests all at once, so
 * that one packet could open thousands of files; here they wait for their turn, and a connection
 * that lets too many wait is closed (I4, I7).
 */
import type { Socket } from 'node:net';

const waitingMax = 64;

export class Turns {
  readonly #queues = new WeakMap<Socket, (() => Promise<void>)[]>();

  /** Whether a request of the connection is being served. */
  isBusy(socket: Socket): boolean {
    return this.#queues.has(socket);
  }

  /** Runs a task, which never fails, after those that came before it on the same connection. */
  take(socket: Socket, task: () => Promise<void>): void {
    const queue = this.#queues.get(socket);
    if (queue === undefined) {
      const own: (() => Promise<void>)[] = [];
      this.#queues.set(socket, own);
      void this.#runAll(socket, own, task);
    } else if (queue.length < waitingMax) {
      queue.push(task);
    } else {
      queue.length = 0;
      socket.destroy();
    }
  }

  async #runAll(
    socket: Socket,
    queue: (() => Promise<void>)[],
    first: () => Promise<void>,
  ): Promise<void> {
    for (let task: typeof first | undefined = first; task !== undefined; task = queue.shift()) {
      if (!socket.destroyed) await task();
    }
    this.#queues.delete(socket);
  }
}
