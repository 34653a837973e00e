/**
 * Makes the directories above a file before a PUT, for storage servers that want that (spec §9.2).
 * What was made, and which devices need nothing, is remembered for a while and up to a bound. It
 * never fails: a directory that is really missing shows in the PUT that follows.
 */
import { fidDirectories, parseFidPath, RecentMap } from '@omgfs/protocol';
import type { Dispatcher } from 'undici';
import { call, isSuccess, placeOf } from './http.ts';

/**
 * The original takes an hour. Somebody may remove a directory behind the server, and what clients
 * PUT below it fails for so long, of which no tracker hears.
 */
const rememberMs = 300_000;
const rememberedMax = 20_000;

/** `needless`: the server makes directories itself; `failed`: unknown. */
type Outcome = 'made' | 'there' | 'needless' | 'failed';

interface Remembered {
  sinceMs: number;
  outcome: Promise<Outcome>;
}

export class Directories {
  readonly #agent: Dispatcher;
  readonly #options: { deadlineMs: number; isOff: () => boolean };
  readonly #remembered = new RecentMap<string, Remembered>(rememberedMax);

  /** @param options.isOff whether the cluster does without (spec §3.5, `skip_mkcol`). */
  constructor(agent: Dispatcher, options: { deadlineMs: number; isOff: () => boolean }) {
    this.#agent = agent;
    this.#options = options;
  }

  /** Makes what is not known to be there. */
  async make(url: string): Promise<void> {
    if (this.#options.isOff()) return;
    // Nearly always the innermost is known, for which the others had to be there.
    const innermost = this.#recall(directoryOf(url));
    if (innermost !== undefined && isThere(await innermost)) return;
    await this.#makeAll(url);
  }

  /**
   * After a PUT that found no place: asks again for what was known when it began.
   * @returns whether something was missing and is there now, so that the PUT may be tried again.
   */
  async makeAgain(url: string, putBeganMs: number): Promise<boolean> {
    if (this.#options.isOff()) return false;
    for (const directory of directoriesAbove(url)) {
      const known = this.#remembered.get(directory);
      if (known !== undefined && known.sinceMs <= putBeganMs) this.#remembered.delete(directory);
    }
    const outcomes = await this.#makeAll(url);
    return outcomes.every(isThere) && outcomes.includes('made');
  }

  /** Outermost first; stops at the first that fails. */
  async #makeAll(url: string): Promise<Outcome[]> {
    const device = deviceOf(url);
    if (this.#recall(device) !== undefined) return [];
    const outcomes: Outcome[] = [];
    for (const directory of directoriesAbove(url)) {
      const outcome = await this.#once(directory);
      outcomes.push(outcome);
      if (outcome === 'needless') this.#remember(device, Promise.resolve(outcome));
      if (!isThere(outcome)) break;
    }
    return outcomes;
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
    const { deadlineMs } = this.#options;
    const reply = await call(this.#agent, { method: 'MKCOL', url, headers, deadlineMs });
    if (!reply.answered) return 'failed';
    if (reply.status === 400 || reply.status === 501) return 'needless';
    // RFC 4918 §9.3.1: 405 on a collection that exists. The original asks again each time.
    if (reply.status === 405) return 'there';
    return isSuccess(reply.status) ? 'made' : 'failed';
  }

  #recall(key: string): Promise<Outcome> | undefined {
    const known = this.#remembered.get(key);
    if (known === undefined) return undefined;
    if (performance.now() - known.sinceMs < rememberMs) return known.outcome;
    this.#remembered.delete(key);
    return undefined;
  }

  #remember(key: string, outcome: Promise<Outcome>): void {
    this.#remembered.set(key, { outcome, sinceMs: performance.now() });
  }
}

/** Whether this answer to a PUT may say that the directory is missing. */
export function lacksDirectory(status: number): boolean {
  return status === 403 || status === 404 || status === 409;
}

function isThere(outcome: Outcome): boolean {
  return outcome === 'made' || outcome === 'there';
}

function directoryOf(url: string): string {
  return url.slice(0, url.lastIndexOf('/') + 1);
}

/** The three levels of a replica; of anything else the directory it is in. */
function directoriesAbove(url: string): string[] {
  const { origin, pathname } = placeOf(url);
  const replica = parseFidPath(pathname);
  if (replica === undefined) return [directoryOf(url)];
  return fidDirectories(replica.devid, replica.fid).map((path) => origin + path);
}

function deviceOf(url: string): string {
  const { origin, pathname } = placeOf(url);
  return `${origin}/${pathname.split('/')[1]}`;
}
