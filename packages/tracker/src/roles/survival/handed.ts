/**
 * The connections that the front has handed to one query process. It keeps a copy of each socket,
 * never reads from it, and so decides when the process is gone which connections live on: those of
 * which it is certain what was read and what was answered. A client of any other would take a reply
 * for that of another request (I4), so these are closed.
 */
import type { Socket } from 'node:net';
import type { Account } from '../../server/connection.ts';
import type { Channel } from '../channel.ts';
import { kernelCounts, type StreamCounts } from './kernel-counts.ts';
import { type Handed, LedgerFile } from './ledger.ts';

/** A connection that nobody has read from yet. */
export const untouched: Account = { read: 0, written: 0, owed: 0, midLine: false };

/** A connection that another process can go on with. */
export interface Orphan {
  socket: Socket;
  account: Account;
}

/** A connection on which bytes move is given up when the kernel's counts never agree. */
const looksMax = 3;

let lastId = 0;

export class HandedConnections {
  readonly #ledger = new LedgerFile();
  readonly #sockets = new Map<number, { socket: Socket; handed: Handed }>();
  readonly #freeSlots: number[] = [];
  #slots = 0;

  /** For the query process. */
  get fd(): number {
    return this.#ledger.fd;
  }

  get size(): number {
    return this.#sockets.size;
  }

  hand(channel: Channel, { socket, account }: Orphan): void {
    lastId += 1;
    const slot = this.#freeSlots.pop() ?? this.#slots++;
    const handed = { id: lastId, slot, account };
    this.#sockets.set(lastId, { socket, handed });
    channel.tell('connection', handed, socket);
  }

  /** The query process has closed these. */
  closed(ids: readonly number[]): void {
    for (const id of ids) {
      const entry = this.#sockets.get(id);
      if (entry === undefined) continue;
      this.#sockets.delete(id);
      this.#freeSlots.push(entry.handed.slot);
      entry.socket.destroy();
    }
  }

  /**
   * The query process has ended. @returns the connections that live on; the others are closed.
   * Rejects when the kernel cannot be asked; then all are closed.
   */
  async release(): Promise<{ orphans: Orphan[]; closed: number }> {
    const all = [...this.#sockets.values()];
    // Read at once: the next process writes to the same file.
    const notes = new Map(all.map(({ handed }) => [handed.id, this.#note(handed)]));
    this.#forget();
    const orphans: Orphan[] = [];
    let doubted = all.flatMap(({ socket, handed }) => {
      const account = notes.get(handed.id);
      return account === undefined ? [] : [{ socket, account }];
    });
    try {
      // Bytes that arrive while the kernel is asked make its counts too high, so it is asked again.
      for (let looks = 0; looks < looksMax && doubted.length > 0; looks += 1) {
        const counts = await countsOf(doubted);
        const agrees = ({ socket, account }: Orphan) => same(account, counts.get(nameOf(socket)));
        orphans.push(...doubted.filter(agrees));
        doubted = doubted.filter((one) => !agrees(one));
      }
    } finally {
      const kept = new Set(orphans.map(({ socket }) => socket));
      for (const { socket } of all) if (!kept.has(socket)) socket.destroy();
    }
    return { orphans, closed: all.length - orphans.length };
  }

  /** Closes all, for good. */
  end(): void {
    for (const { socket } of this.#sockets.values()) socket.destroy();
    this.#forget();
    this.#ledger.close();
  }

  #forget(): void {
    this.#sockets.clear();
    this.#freeSlots.length = 0;
    this.#slots = 0;
  }

  /**
   * Without a row of its own, nothing was noted since the connection was handed over. What came
   * with it may have been the end of the process, and is not tried again.
   */
  #note({ id, slot, account }: Handed): Account | undefined {
    const row = this.#ledger.row(slot);
    return row.id === id ? row.account : { ...account, text: undefined };
  }
}

async function countsOf(orphans: readonly Orphan[]): Promise<Map<string, StreamCounts>> {
  const ports = [...new Set(orphans.flatMap(({ socket }) => socket.localPort ?? []))];
  return new Map((await Promise.all(ports.map(kernelCounts))).flatMap((map) => [...map]));
}

function same({ read, written }: Account, counts: StreamCounts | undefined): boolean {
  return counts !== undefined && counts.read === read && counts.written === written;
}

function nameOf(socket: Socket): string {
  const { localAddress, localPort, remoteAddress, remotePort } = socket;
  return `${localAddress}:${localPort} ${remoteAddress}:${remotePort}`;
}
