/**
 * When an exchange is over, also for a pipelined request whose turn to be answered never came: Node
 * tells only the response that is assigned to a connection that this has ended. Exported by itself,
 * for hosts that do not load WebDAV unless they must.
 */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** One listener a connection, however many requests wait on it. */
const waiting = new WeakMap<Socket, Set<() => void>>();

/**
 * Runs `done` once: when the answer has been sent or its connection has ended, now if it already
 * has.
 * @returns what makes it not run any more.
 */
export function whenGone(
  { socket }: IncomingMessage,
  response: ServerResponse,
  done: () => void,
): () => void {
  if (socket.destroyed || response.closed) {
    done();
    return () => {};
  }
  const others = waitersOf(socket);
  const forget = () => {
    response.off('close', run).off('finish', run);
    others.delete(run);
  };
  const run = () => {
    forget();
    done();
  };
  response.on('close', run).on('finish', run);
  others.add(run);
  return forget;
}

function waitersOf(socket: Socket): Set<() => void> {
  const known = waiting.get(socket);
  if (known !== undefined) return known;
  const waiters = new Set<() => void>();
  waiting.set(socket, waiters);
  socket.once('close', () => {
    for (const run of waiters) run();
  });
  return waiters;
}
