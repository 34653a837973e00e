/**
 * Makes the directories above a replica before a PUT, for storage servers that want that (spec
 * §9.2). What was made, and which devices need nothing, is remembered for a while and up to a
 * bound. It never fails: a directory that is really missing shows in the PUT that follows.
 */
import { fidDirectories, parseFidPath, RecentMap } from '@omgfs/protocol';
import type { Dispatcher } from 'undici';
import { call, isSuccess, placeOf } from './http.ts';

const rememberMs = 3600_000;
const rememberedMax = 20_000;

/** `ready`: it is there; `needless`: the server makes directories itself; `failed`: unknown. */
type Outcome = 'ready' | 'needless' | 'failed';

interface Remembered {
  expiresAtMs: number;
  outcome: Promise<Outcome>;
}

export class Directories {
  readonly #agent: Dispatcher;
  readonly #deadlineMs: number;
  readonly #remembered = new RecentMap<string, Remembered>(rememberedMax);

  constructor(agent: Dispatcher, options: { deadlineMs: number }) {
    this.#agent = agent;
    this.#deadlineMs = options.deadlineMs;
  }

  /** Makes the three levels above a replica, outermost first; stops at the first that fails. */
  async make(writeUrl: string): Promise<void> {
    // Nearly always the innermost is known, for which the others had to be there.
    const innermost = this.#recall(writeUrl.slice(0, writeUrl.lastIndexOf('/') + 1));
    if (innermost !== undefined && (await innermost) === 'ready') return;
    const { origin, pathname } = placeOf(writeUrl);
    const place = parseFidPath(pathname);
    if (place === undefined) return;
    const device = `${origin}/dev${place.devid}`;
    if (this.#recall(device) !== undefined) return;
    for (const directory of fidDirectories(place.devid, place.fid)) {
      const outcome = await this.#once(`${origin}${directory}`);
      if (outcome === 'needless') this.#remember(device, Promise.resolve(outcome));
      if (outcome !== 'ready') return;
    }
  }

  /** One directory that is not below a fid path, for example that of the write test. */
  async makeOne(url: string): Promise<void> {
    await this.#once(url);
  }

  async #once(url: string): Promise<Outcome> {
    const known = this.#recall(url);
    if (known !== undefined) return known;
    const outcome = this.#send(url);
    this.#remember(url, outcome);
    const result = await outcome;
    if (result === 'failed') this.#remembered.delete(url);
    return result;
  }

  async #send(url: string): Promise<Outcome> {
    const headers = { 'content-length': '0' };
    const deadlineMs = this.#deadlineMs;
    const reply = await call(this.#agent, { method: 'MKCOL', url, headers, deadlineMs });
    if (!reply.answered) return 'failed';
    if (reply.status === 400 || reply.status === 501) return 'needless';
    // RFC 4918 §9.3.1: 405 on a collection that exists. The original asks again each time.
    return isSuccess(reply.status) || reply.status === 405 ? 'ready' : 'failed';
  }

  #recall(key: string): Promise<Outcome> | undefined {
    const known = this.#remembered.get(key);
    if (known === undefined) return undefined;
    if (known.expiresAtMs > performance.now()) return known.outcome;
    this.#remembered.delete(key);
    return undefined;
  }

  #remember(key: string, outcome: Promise<Outcome>): void {
    this.#remembered.set(key, { outcome, expiresAtMs: performance.now() + rememberMs });
  }
}
