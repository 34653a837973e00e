/**
 * `omgfs migrate`: the domains of one cluster to another while both are in use, in rounds until
 * nothing is new, or for ever. The source needs only `get_domains`, `list_keys` and `get_paths`,
 * and is better off with `file_info`; it is never changed.
 */
import { createHash } from 'node:crypto';
import { readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { type Admin, createAdmin, createClient } from '@omgfs/client';
import { OmgfsError, toOmgfsError } from '@omgfs/protocol';
import { lockState } from '../../local-cluster/state.ts';
import { formatBytes, printError, printJson, printLine } from '../../output.ts';
import { prepareNamespace } from '../namespace.ts';
import { type CopyOptions, copyRound, type RoundResult } from './copy-round.ts';
import { CopyState } from './copy-state.ts';
import { checkNotSame, type DomainPair, pairsOf } from './domain-pairs.ts';

export interface MigrationOptions extends CopyOptions {
  /** Addresses of trackers. */
  from: readonly string[];
  to: readonly string[];
  /** `a` or `a=b`; all of the source when there is none. */
  domains: readonly string[];
  /** Directory of what is remembered. */
  stateDir?: string;
  /** Go on until the signal. */
  watch?: boolean;
  intervalMs: number;
}

/** @throws FAILURE when files of the last round failed; BAD_ARGS for what cannot be meant. */
export async function migrate(options: MigrationOptions): Promise<void> {
  const { from, to, signal, watch } = options;
  const dir = options.stateDir ?? `.omgfs-migrate-${nameOf({ from, to })}`;
  const lock = await lockState(dir);
  const source = createAdmin({ trackers: from });
  const target = createAdmin({ trackers: to });
  try {
    checkState(dir, { from, to });
    const migration = new Migration({ source, target }, dir, options);
    if (watch) await migration.follow();
    else await migration.untilNothingIsNew();
  } catch (error) {
    // Who follows a cluster ends it like this.
    if (!(watch && signal.aborted)) throw error;
  } finally {
    await Promise.all([source.close(), target.close()]);
    lock.release();
  }
}

class Migration {
  readonly #admins: { source: Admin; target: Admin };
  readonly #dir: string;
  readonly #options: MigrationOptions;
  readonly #states = new Map<string, CopyState>();
  #round = 0;
  readonly #notes = new Set<string>();

  constructor(admins: { source: Admin; target: Admin }, dir: string, options: MigrationOptions) {
    this.#admins = admins;
    this.#dir = dir;
    this.#options = options;
  }

  /** Also ends when the source changes as fast as it is copied. */
  async untilNothingIsNew(): Promise<void> {
    let before = Number.POSITIVE_INFINITY;
    for (;;) {
      const { copied, deleted, failed } = await this.#roundOfAll();
      const news = this.#options.dryRun ? 0 : copied + deleted;
      if (news > 0 && news < before) {
        before = news;
        continue;
      }
      if (news > 0) {
        this.#say('The source changes as fast as it is copied; --watch keeps following it.');
      }
      if (failed === 0) return;
      throw new OmgfsError('FAILURE', { message: `${failed} files failed; run it again to go on` });
    }
  }

  /** Until the signal; trouble of a cluster is waited for. */
  async follow(): Promise<void> {
    const { json, signal, intervalMs } = this.#options;
    for (;;) {
      try {
        await this.#roundOfAll();
      } catch (error) {
        signal.throwIfAborted();
        if (toOmgfsError(error).retry === 'never') throw error;
        printError(error, { json });
      }
      await delay(intervalMs, undefined, { signal });
    }
  }

  async #roundOfAll(): Promise<RoundResult> {
    this.#round += 1;
    const sum = { copied: 0, bytes: 0, deleted: 0, gone: 0, unchanged: 0, failed: 0 };
    const pairs = await pairsOf(this.#admins.source, this.#options.domains);
    checkNotSame(pairs, this.#options);
    for (const pair of pairs) {
      const result = await this.#roundOf(pair);
      for (const name of Object.keys(sum) as (keyof RoundResult)[]) sum[name] += result[name];
      this.#sayRound(pair, result);
    }
    return sum;
  }

  async #roundOf({ from, to, classes }: DomainPair): Promise<RoundResult> {
    const options = this.#options;
    const { target: admin } = this.#admins;
    const namespace = { domain: to, classes };
    const { dryRun = false } = options;
    const notes = await prepareNamespace(admin, namespace, { dryRun });
    for (const note of notes) this.#say(note);
    const targetIsNew = dryRun && notes.includes(`domain ${to} is new`);
    const dir = join(this.#dir, `${encodeURIComponent(from)}=${encodeURIComponent(to)}`);
    const state = this.#states.get(dir) ?? new CopyState(dir);
    this.#states.set(dir, state);
    const source = createClient({ trackers: options.from, domain: from });
    const target = createClient({ trackers: options.to, domain: to });
    try {
      return await copyRound({ source, target, from, to, targetIsNew, dir, state }, options);
    } finally {
      await Promise.all([source.close(), target.close()]);
    }
  }

  #sayRound({ from, to }: DomainPair, result: RoundResult): void {
    const { json, watch, dryRun } = this.#options;
    const round = this.#round;
    const label = from === to ? from : `${from}=${to}`;
    // Nobody wants to read all day that nothing happens.
    const idle = watch && round > 1 && result.copied + result.deleted + result.failed === 0;
    if (json) printJson({ round, domain: from, to, ...result, ...(dryRun ? { dryRun } : {}) });
    else if (dryRun) printLine(`dry run, nothing done, ${label}: ${inWords(result)}`);
    else if (!idle) printLine(`round ${round}, ${label}: ${inWords(result)}`);
  }

  /** Once. */
  #say(note: string): void {
    if (this.#notes.has(note)) return;
    this.#notes.add(note);
    if (this.#options.json) printJson({ note });
    else process.stderr.write(`${note}\n`);
  }
}

function inWords({ copied, bytes, deleted, gone, unchanged, failed }: RoundResult): string {
  return [
    `${copied} files copied, ${formatBytes(bytes)}`,
    `${unchanged} unchanged`,
    ...(deleted > 0 ? [`${deleted} removed`] : []),
    ...(gone > 0 ? [`${gone} are gone at the source (--delete removes them)`] : []),
    ...(failed > 0 ? [`${failed} failed`] : []),
  ].join('; ');
}

/** Short and the same for the same clusters. */
function nameOf(trackers: { from: readonly string[]; to: readonly string[] }): string {
  const text = JSON.stringify([[...trackers.from].sort(), [...trackers.to].sort()]);
  return createHash('sha256').update(text).digest('hex').slice(0, 8);
}

/**
 * What one migration remembers would mislead another one: fids of clusters say nothing of others.
 * @throws BAD_ARGS.
 */
function checkState(dir: string, trackers: { from: readonly string[]; to: readonly string[] }) {
  const path = join(dir, 'clusters.json');
  let kept: { from: string[]; to: string[] } = { from: [], to: [] };
  try {
    kept = JSON.parse(readFileSync(path, 'utf8'));
  } catch {
    // The first run.
  }
  for (const side of ['from', 'to'] as const) {
    const known = kept[side];
    if (known.length === 0 || known.some((one) => trackers[side].includes(one))) continue;
    throw new OmgfsError('BAD_ARGS', {
      message:
        `${dir} is of a migration --${side} ${known.join(',')}; name another directory with ` +
        '--state, or one of its trackers beside yours',
    });
  }
  writeFileSync(`${path}.new`, JSON.stringify(trackers));
  renameSync(`${path}.new`, path);
}
