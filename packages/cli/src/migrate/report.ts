/** What became of many files: counted, shown while it goes on, and said at the end. */
import { type ErrorCode, OmgfsError, toOmgfsError } from '@omgfs/protocol';
import {
  createProgress,
  formatBytes,
  type Progress,
  printable,
  printError,
  someFailed,
} from '../output.ts';

/** Failures that every further file would share. */
const hopelessCodes = new Set<ErrorCode>(['NO_TRACKER_UP', 'UNREG_DOMAIN', 'NO_DEVICES']);
const hopelessSystemCodes = new Set(['ENOSPC', 'EDQUOT', 'EROFS', 'EMFILE']);

export class Report {
  readonly json: boolean;
  files = 0;
  bytes = 0;
  /** Files that were right already. */
  unchanged = 0;
  failed = 0;
  readonly #progress: Progress;
  readonly #output: NodeJS.WriteStream;

  /** @param options with `toStderr` standard output belongs to something else. */
  constructor(options: {
    label: string;
    total: number | undefined;
    json: boolean;
    toStderr?: boolean;
  }) {
    this.json = options.json;
    this.#output = options.toStderr ? process.stderr : process.stdout;
    this.#progress = createProgress({ ...options, unit: 'items' });
  }

  /** Bytes of a file that is under way. */
  moved(bytes: number): void {
    this.#progress.add({ bytes });
  }

  done(bytes: number, line: object): void {
    this.files += 1;
    this.bytes += bytes;
    this.#progress.add({ items: 1 });
    this.said(line);
  }

  /** A line for scripts beside the files. */
  said(line: object): void {
    if (this.json) this.#print(JSON.stringify(line));
  }

  skipped(): void {
    this.unchanged += 1;
    this.#progress.add({ items: 1 });
  }

  /** Prints the failure of one file. @throws the error that all others would have, too. */
  fail(error: unknown, signal: AbortSignal): void {
    signal.throwIfAborted();
    if (isHopeless(error)) throw error;
    this.failed += 1;
    this.#progress.add({ items: 1 });
    printError(error, { json: this.json });
  }

  /** Something worth knowing beside the files. */
  note(text: string): void {
    if (this.json) this.said({ note: printable(text) });
    else process.stderr.write(`${printable(text)}\n`);
  }

  stop(): void {
    this.#progress.stop();
  }

  /** @throws FAILURE when some files failed. */
  end(verb: string, hint = ''): void {
    const { files, bytes, unchanged, failed } = this;
    if (this.json) this.said({ files, bytes, unchanged, failed });
    else {
      const rest = unchanged === 0 ? '' : `; ${unchanged} were there already`;
      this.#print(`${files} files ${verb}, ${formatBytes(bytes)}${rest}`);
    }
    if (failed === 0) return;
    const { message } = someFailed(failed, files + unchanged + failed);
    throw new OmgfsError('FAILURE', { message: message + hint });
  }

  #print(line: string): void {
    this.#output.write(`${line}\n`);
  }
}

export function isHopeless(error: unknown): boolean {
  if (hopelessCodes.has(toOmgfsError(error).code)) return true;
  for (let one = error; one instanceof Error; one = one.cause) {
    if (hopelessSystemCodes.has((one as NodeJS.ErrnoException).code ?? '')) return true;
  }
  return false;
}
