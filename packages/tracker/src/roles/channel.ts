/**
 * Calls and notices between two processes over the IPC channel that Node.js gives a forked child.
 * Messages arrive in the order sent; a call ends with an error when the other process ends.
 */
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { type ErrorCode, errorTable, OmgfsError, toOmgfsError } from '@omgfs/protocol';
import type { Methods } from './messages.ts';

type Method = keyof Methods;

/** What this side answers; a method left out is refused. */
export type Handlers = {
  [M in Method]?: (
    payload: Methods[M][0],
    socket: Socket | undefined,
  ) => Methods[M][1] | Promise<Methods[M][1]>;
};

type Message =
  | { method: Method; id?: number; payload?: unknown }
  | { reply: number; value?: unknown; error?: { code: string; message: string } };

interface Waiting {
  resolve: (value: unknown) => void;
  reject: (error: Error) => void;
}

export class Channel {
  readonly #peer: ChildProcess | NodeJS.Process;
  readonly #handlers: Handlers;
  readonly #waiting = new Map<number, Waiting>();
  #nextId = 1;
  #closed = false;

  constructor(peer: ChildProcess | NodeJS.Process, handlers: Handlers) {
    this.#peer = peer;
    this.#handlers = handlers;
    peer.on('message', (message: unknown, socket: unknown) => {
      void this.#receive(message as Message, socket as Socket | undefined);
    });
    peer.on('disconnect', () => this.close());
  }

  /** @throws what the other side threw; FAILURE when it ended meanwhile. */
  call<M extends Method>(method: M, payload: Methods[M][0]): Promise<Methods[M][1]> {
    return new Promise((resolve, reject) => {
      if (this.#closed) {
        reject(gone());
        return;
      }
      const id = this.#nextId;
      this.#nextId += 1;
      this.#waiting.set(id, { resolve: resolve as (value: unknown) => void, reject });
      this.#send({ method, id, payload });
    });
  }

  /**
   * Sends without an answer; a message to a process that ended is lost. A socket goes to the other
   * side as a copy; this side's stays open.
   */
  tell<M extends Method>(method: M, payload: Methods[M][0], socket?: Socket): void {
    this.#send({ method, payload }, socket);
  }

  #send(message: Message, socket?: Socket): void {
    if (this.#closed || !this.#peer.connected) return;
    // An error means that the other process is ending; 'disconnect' does the cleaning.
    this.#peer.send?.(message, socket, { keepOpen: true }, () => {});
  }

  async #receive(message: Message, socket: Socket | undefined): Promise<void> {
    if ('reply' in message) {
      const waiting = this.#waiting.get(message.reply);
      this.#waiting.delete(message.reply);
      if (message.error === undefined) waiting?.resolve(message.value);
      else waiting?.reject(errorOf(message.error));
      return;
    }
    const { method, id, payload } = message;
    try {
      const handler = this.#handlers[method] as
        | ((payload: unknown, socket: Socket | undefined) => unknown)
        | undefined;
      const value = await handler?.(payload, socket);
      if (id !== undefined) this.#send({ reply: id, value });
    } catch (thrown) {
      const { code, message: text } = toOmgfsError(thrown);
      if (id !== undefined) this.#send({ reply: id, error: { code, message: text } });
    }
  }

  /** Fails what waits for an answer; the other process has ended. */
  close(): void {
    this.#closed = true;
    for (const { reject } of this.#waiting.values()) reject(gone());
    this.#waiting.clear();
  }
}

function gone(): OmgfsError {
  const message = 'A process of the tracker ended meanwhile and is being started again.';
  return new OmgfsError('FAILURE', { message });
}

function errorOf({ code, message }: { code: string; message: string }): OmgfsError {
  return new OmgfsError(Object.hasOwn(errorTable, code) ? (code as ErrorCode) : 'FAILURE', {
    message,
  });
}
