/**
 * Compares the domains of two clusters key by key. Both may be in use: what differs is looked at
 * once more before it is said.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Client, createAdmin, createClient } from '@omgfs/client';
import { OmgfsError, toOmgfsError } from '@omgfs/protocol';
import { createProgress, printable, printJson, printLine } from '../../output.ts';
import { sortedKeys } from '../archive/export-listing.ts';
import { digestOf, hashTypeDefault } from '../checked-bytes.ts';
import { jsonKey, keyText } from '../keys.ts';
import { eachParallel } from '../parallel.ts';
import { isHopeless } from '../report.ts';
import { joinRows } from '../rows/sorted-rows.ts';
import { type FileVersion, SourceFiles } from '../source-files.ts';
import type { Throttle } from '../throttle.ts';
import { type DomainPair, pairsOf } from './domain-pairs.ts';

export interface VerifyOptions {
  from: readonly string[];
  to: readonly string[];
  domains: readonly string[];
  json: boolean;
  parallel: number;
  /** Read all files of both clusters. */
  bytes?: boolean;
  throttle: Throttle;
  signal: AbortSignal;
}

/** What is wrong at the target. */
type Difference = 'missing' | 'extra' | 'length' | 'checksum' | 'bytes' | 'class' | 'unreadable';

interface Finding {
  kind: Difference;
  detail: string;
}

/** @throws FAILURE when there are differences, each printed already. */
export async function verifyClusters(options: VerifyOptions): Promise<void> {
  const admin = createAdmin({ trackers: options.from });
  let files = 0;
  let differences = 0;
  try {
    for (const pair of await pairsOf(admin, options.domains)) {
      const found = await verifyDomain(pair, options);
      files += found.files;
      differences += found.differences;
    }
  } finally {
    await admin.close();
  }
  if (options.json) printJson({ files, differences });
  if (differences > 0) {
    throw new OmgfsError('FAILURE', { message: `${files} files: ${differences} differ` });
  }
  const how = options.bytes ? 'byte for byte' : 'by length, class and checksum';
  if (!options.json) printLine(`${files} files: all are the same, ${how}.`);
}

async function verifyDomain(
  { from, to }: DomainPair,
  options: VerifyOptions,
): Promise<{ files: number; differences: number }> {
  const { json, signal, parallel: concurrency } = options;
  const dir = await mkdtemp(join(tmpdir(), 'omgfs-verify-'));
  const source = createClient({ trackers: options.from, domain: from });
  const target = createClient({ trackers: options.to, domain: to });
  const comparison = new Comparison({ source, target }, options);
  const counts = { files: 0, differences: 0 };
  try {
    const sort = { dir, json, signal };
    const theirs = await sortedKeys({ client: source, prefix: '' }, { ...sort, name: 'source' });
    const ours = await sortedKeys({ client: target, prefix: '' }, { ...sort, name: 'target' });
    const total = Math.max(theirs.count, ours.count);
    const progress = createProgress({ label: `verifying ${from}`, unit: 'items', total, json });
    try {
      await eachParallel(joinRows(theirs, ours), { concurrency }, async ({ key }) => {
        signal.throwIfAborted();
        const found = await comparison.of(key);
        counts.files += 1;
        progress.add({ items: 1 });
        if (found === undefined) return;
        counts.differences += 1;
        if (json) printJson({ ...found, domain: to, ...jsonKey(key) });
        else
          printLine(`${found.kind.padEnd(10)}  ${to}:${printable(keyText(key))}: ${found.detail}`);
      });
    } finally {
      progress.stop();
    }
    return counts;
  } finally {
    await Promise.all([source.close(), target.close()]);
    await rm(dir, { recursive: true, force: true });
  }
}

class Comparison {
  readonly #source: SourceFiles;
  readonly #target: SourceFiles;
  readonly #options: VerifyOptions;

  constructor({ source, target }: { source: Client; target: Client }, options: VerifyOptions) {
    this.#source = new SourceFiles(source);
    this.#target = new SourceFiles(target);
    this.#options = options;
  }

  /** The difference that is still there at a second look. */
  async of(key: string): Promise<Finding | undefined> {
    return (await this.#look(key)) && (await this.#look(key));
  }

  async #look(key: string): Promise<Finding | undefined> {
    const { signal, bytes } = this.#options;
    try {
      const [theirs, ours] = await Promise.all([
        this.#describe(this.#source, key),
        this.#describe(this.#target, key),
      ]);
      if (theirs === undefined && ours === undefined) return undefined;
      if (ours === undefined) return { kind: 'missing', detail: 'it is only at the source' };
      if (theirs === undefined) return { kind: 'extra', detail: 'it is only at the target' };
      const found = differenceOf(theirs, ours);
      if (found !== undefined || !bytes) return found;
      const [one, other] = await Promise.all([
        this.#digest(this.#source, key),
        this.#digest(this.#target, key),
      ]);
      return one === other ? undefined : { kind: 'bytes', detail: 'the bytes differ' };
    } catch (error) {
      signal.throwIfAborted();
      if (isHopeless(error)) throw error;
      return { kind: 'unreadable', detail: toOmgfsError(error).message };
    }
  }

  async #describe(files: SourceFiles, key: string): Promise<FileVersion | undefined> {
    const { signal } = this.#options;
    const version = await files.describe(key, signal);
    if (version === undefined || version.length !== undefined) return version;
    const opened = await files.open(key, signal);
    opened?.stream.destroy();
    return opened?.version;
  }

  /** Undefined when the key is gone. */
  async #digest(files: SourceFiles, key: string): Promise<string | undefined> {
    const opened = await files.open(key, this.#options.signal);
    if (opened === undefined) return undefined;
    const { version, stream } = opened;
    const onBytes = (count: number) => this.#options.throttle.take(count);
    const promised = { length: version.length, checksum: undefined };
    return (await digestOf(stream, promised, hashTypeDefault, onBytes)).hex;
  }
}

function differenceOf(theirs: FileVersion, ours: FileVersion): Finding | undefined {
  if (theirs.length !== ours.length) {
    const detail = `${ours.length} bytes at the target, ${theirs.length} at the source`;
    return { kind: 'length', detail };
  }
  const [one, other] = [theirs.checksum, ours.checksum];
  if (one !== undefined && one.type === other?.type && one.hex !== other.hex) {
    return { kind: 'checksum', detail: `${one.type} ${other.hex} instead of ${one.hex}` };
  }
  if (theirs.class === undefined || theirs.class === ours.class) return undefined;
  return { kind: 'class', detail: `class ${ours.class} instead of ${theirs.class}` };
}
