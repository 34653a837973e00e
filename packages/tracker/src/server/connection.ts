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
/** Of more waiting input no account is given: it would be gone through at every turn. */
const accountCharsMax = 4096;
/** Longer requests are not told word for word. */
export const accountTextMax = 448;

/**
 * Where a connection stands between two turns of the event loop, so that another process can go on
 * with it: it executes what is owed, or answers it with errors, and reads on.
 */
export interface Account {
  /** Bytes taken from the connection, and given to it. */
  read: number;
  written: number;
  /** Complete requests that were read and not answered. */
  owed: number;
  /** The beginning of a further request was read. */
  midLine: boolean;
  /** What was read and not answered, beginning with the request in flight; if it is short. */
  text?: string | undefined;
  /** The first request of the text is in flight: nobody knows whether it was executed. */
  started?: boolean;
}

export interface ConnectionOptions {
  handle: LineHandler;
  budget: Budget;
  /** Called when `account` may have changed since it was asked for. */
  onChange?: (connection: Connection) => void;
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
  /** What was taken from the socket's stream and put into it; one byte is one character. */
  #readBytes = 0;
  #writtenBytes = 0;
  /** The request in flight. */
  #asked: string | undefined;
  /** Input and output belong together; not so in the middle of a change that failed. */
  #settled = true;
  /** The line that comes next cannot be executed: another process had it, or a part of it. */
  #lostLine = false;
  /** What is being executed was read by another process, which died. */
  #repeats = false;
  /** `account` was not asked for since the last change. */
  #changed = false;
  readonly #onChange: (connection: Connection) => void;
  /** The line being received is longer than the limit: answer what came before it, then close. */
  #overlong = false;
  #inputEnded = false;
  #closing = false;
  /** The tracker stops: nothing more is awaited from the client. */
  #finishing = false;
  #stallTimer: NodeJS.Timeout | undefined;

  constructor(socket: Socket, { handle, budget, onChange = () => {} }: ConnectionOptions) {
    this.#socket = socket;
    this.#handle = handle;
    this.#budget = budget;
    this.#onChange = onChange;
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
      this.#write(text);
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

  /**
   * Goes on after another process. What that one owed is executed, the request in flight only if
   * it may be `again`; what cannot be executed is answered with errors.
   */
  inherit({ owed, midLine, text, started = false }: Account, { again }: { again: boolean }): void {
    this.#lostLine = text === undefined ? midLine : started && !again;
    this.#repeats = text !== undefined;
    if (text === undefined) this.#write(failure().repeat(owed));
    // Not empty, so that the end of the line makes it one.
    this.#take(text ?? (midLine ? '?' : ''));
  }

  /**
   * Bytes count from the construction of this object. Undefined when no other process could go on:
   * output is unread, much input waits, the connection ends, or an admin command is owed an answer,
   * which has another form.
   */
  account(): Account | undefined {
    this.#changed = false;
    const { writableLength, destroyed } = this.#socket;
    const read = this.#readBytes;
    const written = this.#writtenBytes;
    if (!this.#settled || destroyed || this.#closing || this.#inputEnded) return undefined;
    if (writableLength > 0 || this.#input.length - this.#taken > accountCharsMax) return undefined;
    const begun = this.#partial[0];
    const midLine = begun !== undefined;
    // A return alone may be the end of an empty line, which has no answer, or the start of another.
    if (midLine && (begun === '\r' || begun.startsWith('!'))) return undefined;
    const started = this.#asked !== undefined;
    if (this.#input === '' && !started && !midLine) return { read, written, owed: 0, midLine };
    const waiting = this.#input.slice(this.#taken);
    const lines = [this.#asked ?? '', ...waiting.split('\n')];
    const owed = lines.filter((line) => line !== '' && line !== '\r');
    if (owed.some((line) => line.startsWith('!'))) return undefined;
    const text = this.#textOf(waiting);
    return { read, written, owed: owed.length, midLine, text, started };
  }

  /** A request that has been the end of one process is not told to a third. */
  #textOf(waiting: string): string | undefined {
    if (this.#repeats || this.#lostLine) return undefined;
    const asked = this.#asked === undefined ? '' : `${this.#asked}\n`;
    if (asked.length + waiting.length + this.#partialChars > accountTextMax) return undefined;
    return asked + waiting + this.#partial.join('');
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #read(chunk: string): void {
    this.#readBytes += chunk.length;
    this.#noteChange();
    if (this.#closing || this.#inputEnded) return;
    this.#take(chunk);
  }

  #take(chunk: string): void {
    this.#settled = false;
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
    this.#settled = true;
    this.#account();
  }

  /** Tells the budget what this client makes the process keep. */
  #account(): void {
    const counts = this.heldBytes >= countedBytesMin;
    if (!counts && !this.#counted) return;
    this.#counted = counts || this.heldBytes > 0;
    this.#budget.update(this);
  }

  #noteChange(): void {
    if (this.#changed) return;
    this.#changed = true;
    this.#onChange(this);
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
    this.#settled = false;
    this.#answerLines(answered);
    this.#settled = true;
  }

  #answerLines(answered: string): void {
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
      if (line === undefined) {
        this.#repeats = false;
        break;
      }
      const reply = this.#answer(line);
      if (typeof reply === 'string') {
        output += reply;
        continue;
      }
      this.#write(output);
      this.#await(line, reply);
      return;
    }
    if (this.#overlong) output += encodeError(wireError(new OmgfsError('REQUEST_TOO_LONG')));
    this.#write(output);
    if (this.#inputEnded) this.#end();
    else if (this.#socket.isPaused()) this.#socket.resume();
  }

  /** Whatever a handler throws, the line is answered and the process lives. */
  #answer(line: string): string | Promise<string> {
    if (this.#lostLine) {
      this.#lostLine = false;
      return failure();
    }
    try {
      return this.#handle(line, this);
    } catch {
      return failure();
    }
  }

  #await(line: string, reply: Promise<string>): void {
    this.#busy = true;
    this.#asked = line;
    void reply.then(this.#answered, this.#failed);
  }

  readonly #answered = (text: string): void => {
    this.#busy = false;
    this.#asked = undefined;
    this.#run(text);
  };

  readonly #failed = (): void => this.#answered(failure());

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
    this.#writtenBytes += text.length;
    this.#noteChange();
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
