/**
 * One client of the line protocol: takes lines apart, has them executed strictly one after the
 * other, and writes the replies in order (I4). Memory is bounded: reading stops while a request is
 * executed or output is unread, and a line may only be so long (I7). Spec §1.1 and §1.5.
 */
import type { Socket } from 'node:net';
import { encodeError, limits, OmgfsError, wireError } from '@omgfs/protocol';
import type { Budget, Holder } from './budget.ts';

/** Answers one line; an admin answer may hold several lines. */
export type LineHandler = (line: string, connection: Connection) => string | Promise<string>;

/** Lines answered in one go before other connections get their turn. */
const linesPerTurn = 64;
/** Clients that hold less are not counted, so that the usual request costs nothing here. */
const countedBytesMin = 16 * 1024;
/** What a piece of a line costs besides its text. */
const pieceBytes = 64;

export interface ConnectionOptions {
  handle: LineHandler;
  budget: Budget;
}

export class Connection implements Holder {
  readonly address: string;
  readonly #socket: Socket;
  readonly #handle: LineHandler;
  readonly #budget: Budget;
  #counted = false;
  /** Pieces of a line whose end has not come yet; joined once, so that long lines cost O(n). */
  #partial: string[] = [];
  #partialChars = 0;
  /** Complete lines that wait, and how far they are taken. */
  #input = '';
  #taken = 0;
  #busy = false;
  /** The line being received is longer than the limit: answer what came before it, then close. */
  #overlong = false;
  #inputEnded = false;
  #closing = false;
  /** The tracker stops: nothing more is awaited from the client. */
  #finishing = false;
  #stallTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, { handle, budget }: ConnectionOptions) {
    this.#socket = socket;
    this.#handle = handle;
    this.#budget = budget;
    this.address = (socket.remoteAddress ?? '').replace(/^::ffff:/, '');
    socket.setEncoding('latin1');
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
    socket.on('data', (chunk: Buffer | string) => this.#read(String(chunk)));
    socket.on('end', () => {
      this.#inputEnded = true;
      this.#run();
    });
    socket.on('drain', () => this.#drained());
    // A reset by the peer; 'close' follows and does the cleaning.
    socket.on('error', () => {});
    socket.on('close', () => {
      this.#closing = true;
      clearTimeout(this.#stallTimer);
      this.#input = '';
      this.#partial = [];
      this.#partialChars = 0;
      this.#account();
    });
  }

  get heldBytes(): number {
    const { writableLength, destroyed } = this.#socket;
    if (destroyed) return 0;
    const partial = this.#partialChars + this.#partial.length * pieceBytes;
    return partial + this.#input.length + writableLength;
  }

  /** The clients hold too much together, and this one most. */
  drop(): void {
    this.#counted = false;
    this.destroy();
  }

  /** True while a request is being executed or waits to be. */
  get busy(): boolean {
    return this.#busy || this.#taken < this.#input.length;
  }

  /** Writes lines that no request asked for (`!watch`); dropped when the client does not read. */
  push(text: string): void {
    if (!this.#closing && this.#socket.writableLength < limits.clientOutputBytesMax) {
      this.#socket.write(text, 'latin1');
    }
  }

  /**
   * Ends the connection after the request in flight is answered; at once without one, so that
   * clients that keep idle connections open hold up no stop.
   */
  finish(): void {
    this.#finishing = true;
    this.#inputEnded = true;
    this.#input = '';
    this.#taken = 0;
    if (this.#closing) this.#socket.destroySoon();
    else this.#run();
  }

  /** Ends the connection now; a request in flight gets `text` for an answer. */
  abort(text: string): void {
    if (this.#busy) this.#write(text);
    this.#closing = true;
    this.#socket.destroySoon();
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: string): void {
    if (this.#closing || this.#inputEnded) return;
    const lineEnd = chunk.lastIndexOf('\n');
    if (lineEnd < 0) {
      this.#keepPartial(chunk);
    } else {
      const complete = this.#partial.join('') + chunk.slice(0, lineEnd + 1);
      this.#partial = [];
      this.#partialChars = 0;
      this.#keepPartial(chunk.slice(lineEnd + 1));
      this.#input = this.#input.slice(this.#taken) + complete;
      this.#taken = 0;
    }
    if (this.#busy) this.#socket.pause();
    else this.#run();
    this.#account();
  }

  /** Tells the budget what this client makes the process keep. */
  #account(): void {
    const counts = this.heldBytes >= countedBytesMin;
    if (!counts && !this.#counted) return;
    this.#counted = counts || this.heldBytes > 0;
    this.#budget.update(this);
  }

  #keepPartial(text: string): void {
    if (text === '') return;
    this.#partial.push(text);
    this.#partialChars += text.length;
    if (this.#partialChars <= limits.requestLineBytesMax) return;
    this.#partial = [];
    this.#partialChars = 0;
    this.#overlong = true;
    this.#inputEnded = true;
  }

  #nextLine(): string | undefined {
    while (this.#taken < this.#input.length) {
      const end = this.#input.indexOf('\n', this.#taken);
      const hasReturn = end > this.#taken && this.#input[end - 1] === '\r';
      const line = this.#input.slice(this.#taken, hasReturn ? end - 1 : end);
      this.#taken = end + 1;
      if (line !== '') return line;
    }
    this.#input = '';
    this.#taken = 0;
    return undefined;
  }

  #run(answered = ''): void {
    if (this.#busy || this.#closing) return;
    let output = answered;
    for (let count = 0; ; count += 1) {
      if (output.length + this.#socket.writableLength > limits.clientOutputBytesMax) {
        this.#write(output);
        output = '';
        // What the kernel took at once needs no waiting, and no 'drain' would come for it.
        if (this.#socket.writableLength > limits.clientOutputBytesMax) {
          this.#waitForDrain();
          return;
        }
      }
      if (count === linesPerTurn) {
        this.#write(output);
        this.#yieldTurn();
        return;
      }
      const line = this.#nextLine();
      if (line === undefined) break;
      const reply = this.#answer(line);
      if (typeof reply === 'string') {
        output += reply;
        continue;
      }
      this.#write(output);
      this.#await(reply);
      return;
    }
    if (this.#overlong) output += encodeError(wireError(new OmgfsError('REQUEST_TOO_LONG')));
    this.#write(output);
    if (this.#inputEnded) this.#end();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  /** Whatever a handler throws, the line is answered and the process lives. */
  #answer(line: string): string | Promise<string> {
    try {
      return this.#handle(line, this);
    } catch {
      return failure();
    }
  }

  #await(reply: Promise<string>): void {
    this.#busy = true;
    void reply.catch(failure).then((text) => {
      this.#busy = false;
      this.#run(text);
    });
  }

  #yieldTurn(): void {
    this.#busy = true;
    setImmediate(() => {
      this.#busy = false;
      this.#run();
    });
  }

  #waitForDrain(): void {
    this.#busy = true;
    this.#socket.pause();
    this.#stallTimer ??= setTimeout(() => this.destroy(), limits.clientStallMs);
  }

  #drained(): void {
    if (this.#stallTimer === undefined) return;
    clearTimeout(this.#stallTimer);
    this.#stallTimer = undefined;
    this.#busy = false;
    this.#run();
    this.#account();
  }

  #write(text: string): void {
    if (text === '') return;
    if (!this.#socket.write(text, 'latin1')) this.#account();
  }

  #end(): void {
    this.#closing = true;
    if (this.#finishing) {
      this.#socket.destroySoon();
      return;
    }
    this.#socket.end();
    // A peer that never closes its side would hold the descriptor for ever.
    this.#stallTimer = setTimeout(() => this.destroy(), limits.clientStallMs);
  }
}

function failure(): string {
  return encodeError(wireError(new OmgfsError('FAILURE')));
}
