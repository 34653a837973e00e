/**
 * The files of a run: fills series before they are read, finds where they lie, waits until copies
 * are made and removes everything at the end, including the class it created.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { decodeReply, encodeText } from '@omgfs/protocol';
import { field, LineConnection } from '../load/line-connection.ts';
import type { Session } from '../load/turn.ts';
import { Series } from './series.ts';
import { openDelete, openStore, type Target } from './sessions.ts';

const callers = 16;
const readyWaitMs = 30_000;
const settleWaitMs = 120_000;
const pollMs = 100;
const settleSamples = 32;

export class Files {
  readonly target: Target;
  /** Class of one copy that this run created. */
  readonly singleClass: string;
  /** Copies the default class of the domain wants. */
  readonly copies: number;
  readonly #prefix: string;
  readonly #line: LineConnection;
  readonly #signal: AbortSignal;
  readonly #series: Series[] = [];
  readonly #readable = new Map<number, Series>();

  private constructor(facts: {
    target: Target;
    name: string;
    copies: number;
    line: LineConnection;
    signal: AbortSignal;
  }) {
    this.target = facts.target;
    this.singleClass = facts.name;
    this.copies = facts.copies;
    this.#prefix = facts.name;
    this.#line = facts.line;
    this.#signal = facts.signal;
  }

  /**
   * Creates the class of one copy; `signal` ends filling and waiting, never removing.
   * @throws Error when the tracker or the domain is not there.
   */
  static async prepare(target: Target, { signal }: { signal: AbortSignal }): Promise<Files> {
    const line = await LineConnection.open(target.tracker);
    const name = `omgfs-bench-${Date.now().toString(36)}-${process.pid}`;
    const copies = await defaultCopies(line, target.domain);
    await line.ask(`create_class domain=${target.domain}&class=${name}&mindevcount=1\r\n`);
    return new Files({ target, name, copies, line, signal });
  }

  /** A new series of names that is removed at the end. */
  series(label: string, options: { bytes: number; className: string }): Series {
    const series = new Series({ ...options, prefix: `${this.#prefix}/${label}` });
    this.#series.push(series);
    return series;
  }

  /** Files of one size to look up and read, stored once. */
  async readable({ bytes, count }: { bytes: number; count: number }): Promise<Series> {
    const known = this.#readable.get(bytes);
    if (known !== undefined) return known;
    const series = this.series(`read-${bytes}`, { bytes, className: this.singleClass });
    await this.fill(series, count);
    this.#readable.set(bytes, series);
    return series;
  }

  /** Stores files until the series has `count`; waits for a tracker that is not ready yet. */
  async fill(series: Series, count: number): Promise<void> {
    const session = await openStore(this.target, { series, callers });
    const deadline = performance.now() + readyWaitMs;
    for (;;) {
      try {
        await session.run(0);
        break;
      } catch (error) {
        if (performance.now() > deadline) throw error;
        await delay(pollMs, undefined, { signal: this.#signal });
      }
    }
    await repeat(session, () => series.stored < count && !this.#signal.aborted);
    await session.close();
    this.#signal.throwIfAborted();
  }

  /** First URL of every file of a series; names whose store failed have none. */
  async urls(series: Series): Promise<string[]> {
    const found = [];
    for (let number = 0; number < series.stored; number += 1) {
      const request = `domain=${this.target.domain}&key=${series.key(number)}&noverify=1`;
      const reply = await this.#line.exchange(`get_paths ${request}\r\n`);
      if (reply.includes('path1=')) found.push(field(reply, 'path1'));
    }
    return found;
  }

  /**
   * Waits until a sample of the series, spread from its number `from` on, has its copies.
   * @returns milliseconds it took. @throws Error when they do not come.
   */
  async settle(series: Series, from: number): Promise<number> {
    const start = performance.now();
    const step = Math.max(1, Math.floor((series.stored - from) / settleSamples));
    for (let number = series.stored - 1; number >= from; number -= step) {
      while ((await this.#copiesOf(series.key(number))) < this.copies) {
        if (performance.now() - start > settleWaitMs) {
          throw new Error(`${series.key(number)} did not get its ${this.copies} copies`);
        }
        await delay(pollMs, undefined, { signal: this.#signal });
      }
    }
    return performance.now() - start;
  }

  /** Deletes every name and the class. */
  async remove(): Promise<void> {
    for (const series of this.#series) {
      const session = await openDelete(this.target, { series, callers });
      await repeat(session, () => series.left > 0);
      await session.close();
    }
    await this.#line.ask(`delete_class domain=${this.target.domain}&class=${this.singleClass}\r\n`);
    this.close();
  }

  close(): void {
    this.#line.close();
  }

  async #copiesOf(key: string): Promise<number> {
    const reply = await this.#line.exchange(
      `file_info domain=${this.target.domain}&key=${key}\r\n`,
    );
    return reply.startsWith('OK') ? Number(field(reply, 'devcount')) : this.copies;
  }
}

/** Runs operations on all callers while there is more to do. */
async function repeat(session: Session, more: () => boolean): Promise<void> {
  const call = async (caller: number): Promise<void> => {
    while (more()) await session.run(caller);
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
}

async function defaultCopies(line: LineConnection, domain: string): Promise<number> {
  const reply = decodeReply(await line.ask('get_domains \r\n'));
  const fields = reply?.ok === true ? reply.fields : {};
  const name = Object.keys(fields).find(
    (key) => /^domain\d+$/.test(key) && encodeText(fields[key] ?? '') === domain,
  );
  if (name === undefined) {
    throw new Error(`the tracker has no domain ${domain}; create it first`);
  }
  const ofDefault = Object.keys(fields).find(
    (key) => key.startsWith(`${name}class`) && fields[key] === 'default',
  );
  return Number(fields[`${ofDefault?.replace(/name$/, '')}mindevcount`] ?? 1);
}
