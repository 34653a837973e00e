/** What the command shows: progress bars on terminals, JSON for scripts, errors with advice. */
import { type ErrorCode, OmgfsError, toOmgfsError } from '@omgfs/protocol';
import { SingleBar } from 'cli-progress';
import type { Tree } from './tree.ts';

export interface Progress {
  /** Counts on; `items` are files, `bytes` what was moved. */
  add(step: { items?: number; bytes?: number }): void;
  stop(): void;
}

const silent: Progress = { add: () => {}, stop: () => {} };

/**
 * A bar on standard error, if that is a terminal and nothing but JSON was not asked for. Without a
 * total it only counts.
 */
export function createProgress(options: {
  label: string;
  unit: 'items' | 'bytes';
  total: number | undefined;
  json: boolean;
}): Progress {
  if (!process.stderr.isTTY || options.json) return silent;
  const { unit, total } = options;
  const bytes = unit === 'bytes';
  const measured = `{bar} {percentage}% {value}/{total}${bytes ? '' : ' files'} {eta_formatted}`;
  const rate = new Rate();
  const bar = new SingleBar({
    format: `{label} ${total === undefined ? '{value} in {duration_formatted}' : measured}{rate}`,
    formatValue: (value, _, type) =>
      bytes && (type === 'value' || type === 'total') ? formatBytes(value) : String(value),
    hideCursor: true,
    stream: process.stderr,
  });
  bar.start(Math.max(1, total ?? 1), 0, { label: printable(options.label), rate: '' });
  return {
    add: (step) => {
      rate.add(step.bytes ?? 0);
      bar.increment((bytes ? step.bytes : step.items) ?? 0, { rate: rate.text() });
    },
    stop: () => bar.stop(),
  };
}

/** Time over which a rate is taken, in milliseconds. */
const rateWindowMs = 5_000;

/** Bytes a second, of late. */
class Rate {
  #bytes = 0;
  #older = { atMs: performance.now(), bytes: 0 };
  #newer = this.#older;

  add(bytes: number): void {
    this.#bytes += bytes;
    const atMs = performance.now();
    if (atMs - this.#newer.atMs < rateWindowMs) return;
    this.#older = this.#newer;
    this.#newer = { atMs, bytes: this.#bytes };
  }

  /** Nothing before bytes were moved. */
  text(): string {
    if (this.#bytes === 0) return '';
    const seconds = Math.max(0.001, (performance.now() - this.#older.atMs) / 1000);
    return ` ${formatBytes(Math.round((this.#bytes - this.#older.bytes) / seconds))}/s`;
  }
}

/** `1.5 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let value = bytes;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${units[unit]}`;
}

/** A key as a terminal may show it: whoever uploads a file chooses its key. */
export function printable(key: string): string {
  return key.replace(/\p{Cc}/gu, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`;
  });
}

/** A key for a line of output: as it is for other programs, harmless on a terminal. */
export function shownKey(key: string): string {
  return process.stdout.isTTY ? printable(key) : key;
}

export function printLine(text: string): void {
  process.stdout.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** What to try next, by error code. */
const advice: Partial<Record<ErrorCode, string>> = {
  NO_TRACKER_UP: "Is a tracker running there? Start a cluster here with 'omgfs up'.",
  UNREG_DOMAIN: "Name another with --domain; see 'omgfs admin domain list'.",
  UNREG_CLASS: "Leave --class out for the default class; see 'omgfs admin class list'.",
  UNKNOWN_KEY: "See what is stored with 'omgfs ls'.",
  NO_DEVICES:
    'All devices are full, down or not yet seen by the tracker; try again in a moment. ' +
    "'omgfs admin explain dev1' says why one of them takes none.",
  NO_REPLICA_UP: 'Start the storage nodes that hold the file, then try again.',
  FSCK_RUNNING: "See 'omgfs admin fsck status'; 'omgfs admin fsck stop' ends it.",
  REBAL_RUNNING: "See 'omgfs admin rebalance status'; 'omgfs admin rebalance stop' ends it.",
  BAD_REBAL_POL: "See 'omgfs admin rebalance policy --help'.",
  NOT_WRITABLE: "See 'omgfs admin settings --help'.",
  NO_REBAL_POLICY: "Set one with 'omgfs admin rebalance policy', or use 'rebalance even'.",
  NO_DEVICE: "See 'omgfs admin device list'.",
  UNKNOWN_HOST: "See 'omgfs admin host list'.",
  HOST_NOT_FOUND: "See 'omgfs admin host list'.",
  DOMAIN_NOT_FOUND: "See 'omgfs admin domain list'.",
  CLASS_NOT_FOUND: "See 'omgfs admin class list'.",
  KEY_EXISTS: "Remove it first with 'omgfs rm', or choose another name.",
};

/** The line protocol has no better word for it. */
const trackerFailed =
  "The log of the tracker says why; often its database is away: see 'omgfs admin check'.";

const diskFull = 'The disk that is written to is full: make room, then run it again.';

function isFull(thrown: unknown): boolean {
  if (!(thrown instanceof Error)) return false;
  const { code } = thrown as NodeJS.ErrnoException;
  return code === 'ENOSPC' || code === 'EDQUOT' || isFull(thrown.cause);
}

/** Prints an error on standard error. */
export function printError(thrown: unknown, options: { json: boolean }): void {
  const { code, retry, message, details } = toOmgfsError(thrown);
  if (options.json) {
    const { key } = details;
    process.stderr.write(`${JSON.stringify({ error: { code, retry, message, key } })}\n`);
  } else {
    const inner = details.wire === 'failure' ? trackerFailed : undefined;
    const hint = inner ?? (isFull(thrown) ? diskFull : advice[code]);
    process.stderr.write(`omgfs: ${message} [${code}]${hint === undefined ? '' : `\n${hint}`}\n`);
  }
}

/**
 * Awaits what is done to one key.
 * @throws OmgfsError the failure, with a message that begins with what failed on which key.
 */
export async function about<T>(what: string, key: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (thrown) {
    const { code, message, details } = toOmgfsError(thrown);
    throw new OmgfsError(code, {
      message: `${what} '${printable(key)}': ${message}`,
      details: { ...details, key },
      cause: thrown,
    });
  }
}

/** Says what of a tree is not stored. @returns how many of it should have been. */
export function printLeft(
  { others, unnamed }: Pick<Tree, 'others' | 'unnamed'>,
  options: { json: boolean },
): number {
  for (const path of others) {
    const note = `left out: ${printable(path)} is a symbolic link or no file`;
    process.stderr.write(`${options.json ? JSON.stringify({ note }) : note}\n`);
  }
  for (const path of unnamed) {
    const advice = "rename it, or store a file as 'omgfs put - KEY < FILE'";
    const message = `cannot store '${printable(path)}': its name is no UTF-8; ${advice}`;
    printError(new OmgfsError('BAD_ARGS', { message }), options);
  }
  return unnamed.length;
}

/** An error of several files, each printed already. */
export function someFailed(count: number, total: number): OmgfsError {
  return new OmgfsError('FAILURE', { message: `${count} of ${total} failed` });
}
