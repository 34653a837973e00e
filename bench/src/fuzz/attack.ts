/**
 * Throws lines at a tracker over many connections and checks that each gets one well-formed reply,
 * in order; beside them clients that misbehave: half-closed, never reading, gone in mid-line.
 */
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { fuzzLine, seededRandom } from './lines.ts';

export interface AttackOptions {
  host: string;
  port: number;
  lines: number;
  connections: number;
  seed: number;
}

export interface AttackResult {
  replies: number;
  /** Sentences about what was not as it must be. */
  faults: string[];
}

const linesAtOnce = 50;
const answerMsMax = 60_000;
const wellFormed = /^(?:OK [^ \r\n]*|ERR [a-z_]+ [^ \r\n]+(?: [^ \r\n]*)?)$/;

export async function attack(options: AttackOptions): Promise<AttackResult> {
  const result: AttackResult = { replies: 0, faults: [] };
  const share = Math.ceil(options.lines / options.connections);
  const over = new AbortController();
  const pests = [neverReads(options, over.signal), comesAndGoes(options, over.signal)];
  await Promise.all(
    Array.from({ length: options.connections }, (_, number) =>
      converse(options, { number, lines: share, result }),
    ),
  );
  over.abort();
  await Promise.all(pests);
  await halfClosed(options, result);
  return result;
}

/** Batches of lines, each closed by a line whose reply tells that the order was kept. */
async function converse(
  options: AttackOptions,
  { number, lines, result }: { number: number; lines: number; result: AttackResult },
): Promise<void> {
  const random = seededRandom(options.seed + number);
  const client = await Client.open(options);
  for (let sent = 0, batch = 0; sent < lines; batch += 1) {
    const mark = `c${number}b${batch}`;
    const texts = Array.from({ length: linesAtOnce }, () => fuzzLine(random));
    const expected = texts.filter((text) => text.replace(/\r$/, '') !== '').length;
    client.send([...texts, `noop callid=${mark}`].map((text) => `${text}\n`).join(''));
    const replies = await client.take(expected + 1).catch((error: unknown) => String(error));
    if (typeof replies === 'string') {
      result.faults.push(`connection ${number}, batch ${batch}: ${replies}`);
      return;
    }
    for (const reply of replies) {
      if (!wellFormed.test(reply)) result.faults.push(`no reply: ${JSON.stringify(reply)}`);
    }
    const last = replies[expected];
    if (last !== `OK callid=${mark}`) {
      result.faults.push(`connection ${number}, batch ${batch}: ${last} instead of ${mark}`);
      return;
    }
    result.replies += replies.length;
    sent += linesAtOnce;
  }
  client.close();
}

class Client {
  readonly #socket: Socket;
  #text = '';
  #lines: string[] = [];
  #ended = false;
  #wake: () => void = () => {};

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('latin1');
    socket.on('data', (text: Buffer | string) => {
      const parts = (this.#text + String(text)).split('\r\n');
      this.#text = parts.pop() ?? '';
      this.#lines.push(...parts);
      this.#wake();
    });
    const end = () => {
      this.#ended = true;
      this.#wake();
    };
    socket.on('error', end).on('end', end).on('close', end);
  }

  static open({ host, port }: AttackOptions): Promise<Client> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host, port, allowHalfOpen: true });
      socket.once('error', reject);
      socket.once('connect', () => resolve(new Client(socket)));
    });
  }

  send(text: string): void {
    this.#socket.write(text, 'latin1');
  }

  finish(): void {
    this.#socket.end();
  }

  close(): void {
    this.#socket.destroy();
  }

  /** So many reply lines. @throws when the tracker closes before, or does not answer. */
  async take(count: number): Promise<string[]> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.#wake();
    }, answerMsMax);
    try {
      while (this.#lines.length < count) {
        if (this.#ended) throw new Error(`closed after ${this.#lines.length} of ${count} replies`);
        if (late) throw new Error(`${this.#lines.length} of ${count} replies came`);
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    } finally {
      clearTimeout(timer);
    }
    const taken = this.#lines.slice(0, count);
    this.#lines = this.#lines.slice(count);
    return taken;
  }
}

/** Half-closed after its last line: every answer must still come. */
async function halfClosed(options: AttackOptions, result: AttackResult): Promise<void> {
  const client = await Client.open(options);
  const count = 200;
  client.send('get_domains\n'.repeat(count));
  client.finish();
  const replies = await client.take(count).catch((error: unknown) => String(error));
  if (typeof replies === 'string') result.faults.push(`half-closed: ${replies}`);
  client.close();
}

/** Asks for much and reads nothing; the tracker must stop reading it. */
async function neverReads({ host, port }: AttackOptions, over: AbortSignal): Promise<void> {
  const sockets = Array.from({ length: 10 }, () => connect({ host, port }));
  for (const socket of sockets) {
    socket.on('error', () => {}).pause();
    socket.write('get_devices\n'.repeat(20_000));
  }
  await delay(answerMsMax, undefined, { signal: over }).catch(() => {});
  for (const socket of sockets) socket.destroy();
}

/** Connects, sends part of a line, sometimes a huge one, and goes. */
async function comesAndGoes({ host, port }: AttackOptions, over: AbortSignal): Promise<void> {
  let round = 0;
  while (!over.aborted) {
    round += 1;
    const socket = connect({ host, port });
    socket.on('error', () => {});
    socket.write(round % 10 === 0 ? 'x'.repeat(2 * 1024 * 1024) : 'get_paths domain=fu');
    await delay(5);
    if (round % 2 === 0) socket.destroy();
    else socket.resetAndDestroy();
  }
}
