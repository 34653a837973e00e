/**
 * `omgfs export` to a tar archive. Comments of pax headers keep what the manifest says of each
 * file, so that a stream can be imported as it comes; the checksum of a file stands in the comment
 * behind it as well, because of large files it may be known only then. The manifest follows at the
 * end: unpacked by any tar, the archive is an export in a directory.
 */
import { createReadStream } from 'node:fs';
import { mkdtemp, rename, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Checksum, formatChecksum, OmgfsError, toByteString } from '@omgfs/protocol';
import { lockState } from '../../local-cluster/state.ts';
import { about } from '../../output.ts';
import { CheckedBytes } from '../checked-bytes.ts';
import { jsonKey, keyText } from '../keys.ts';
import { mapParallel } from '../parallel.ts';
import { Report } from '../report.ts';
import { LineLog } from '../rows/line-log.ts';
import { joinRows } from '../rows/sorted-rows.ts';
import { type OpenFile, SourceFiles } from '../source-files.ts';
import { TarWriter } from '../tar/writer.ts';
import { Throttle } from '../throttle.ts';
import type { ExportOptions } from './export-directory.ts';
import { type ExportPlace, headOf, sortedKeys } from './export-listing.ts';
import { type Entry, endLine, entryLine, headLine, manifestName } from './manifest.ts';
import { TarNames } from './tar-names.ts';
import { openPart, type TarOutput, toStandardOutput } from './tar-output.ts';

/** Files up to this many bytes are fetched ahead, several at once. */
const aheadBytesMax = 1024 * 1024;

/**
 * `target` is a file, or `-` for standard output. The file is written below `<target>.part`, and a
 * run that was killed goes on there.
 * @throws BAD_ARGS for a target that exists; FAILURE when some files failed.
 */
export async function exportTar(
  place: ExportPlace,
  target: string,
  options: ExportOptions,
): Promise<void> {
  const piped = target === '-';
  const head = await headOf(place);
  if (piped && process.stdout.isTTY && !options.dryRun) throw refused('an archive is no text');
  if (!piped && (await stat(target).catch(() => undefined)) !== undefined) {
    throw refused(`${target} exists; remove it or name another file`);
  }
  const kept = !piped && !options.dryRun;
  const work = kept ? `${target}.part` : await mkdtemp(join(tmpdir(), 'omgfs-export-'));
  await lockState(work);
  const output = kept ? await openPart(work, head) : await toStandardOutput(work);
  const toStderr = piped && !options.dryRun;
  let report: Report | undefined;
  try {
    const keys = await sortedKeys(place, { ...options, dir: work, name: 'keys' });
    const total = keys.count;
    report = new Report({ label: 'exporting', total, json: options.json, toStderr });
    const run = new TarExport({ place, work, output, options, report });
    await run.begin(headLine(head));
    const names = new TarNames();
    async function* wanted() {
      for await (const { key, left, right } of joinRows(keys, output.known)) {
        // The names of all keys count, also of those that are there.
        const file = left === undefined ? '' : names.nameOf(key);
        if (right !== undefined) report?.skipped();
        else yield { key, file };
      }
    }
    const fetched = mapParallel(wanted(), { concurrency: options.jobs }, (one) => run.fetch(one));
    for await (const one of fetched) await run.write(one);
    const whole = report.failed === 0 && !options.dryRun;
    if (whole || toStderr) await run.finish();
    report.stop();
    await output.close();
    if (whole && kept) await rename(join(work, 'archive'), target);
    if (!kept || whole) await rm(work, { recursive: true, force: true });
  } finally {
    report?.stop();
    await output.close();
    await rm(join(work, 'lock'), { force: true });
    if (!kept) await rm(work, { recursive: true, force: true });
  }
  report.end(options.dryRun ? 'to export' : 'exported', kept ? '; run it again to go on' : '');
}

interface Fetched {
  key: string;
  file: string;
  opened?: OpenFile;
  /** All bytes of a small file. */
  bytes?: Buffer[];
  checksum?: Checksum;
  error?: unknown;
}

class TarExport {
  readonly #work: string;
  readonly #output: TarOutput;
  readonly #options: ExportOptions;
  readonly #report: Report;
  readonly #source: SourceFiles;
  readonly #throttle: Throttle;
  readonly #writer: TarWriter;
  #manifest: LineLog | undefined;
  /** Of the file before, which is said with the next one. */
  #previous: Checksum | undefined;

  constructor(parts: {
    place: ExportPlace;
    work: string;
    output: TarOutput;
    options: ExportOptions;
    report: Report;
  }) {
    const { place, work, output, options, report } = parts;
    this.#work = work;
    this.#output = output;
    this.#options = options;
    this.#report = report;
    this.#previous = output.previous;
    this.#source = new SourceFiles(place.client);
    this.#throttle = new Throttle(options.bandwidth, options.signal);
    this.#writer = new TarWriter((bytes) => output.write(bytes));
  }

  async begin(head: string): Promise<void> {
    if (this.#options.dryRun) return;
    this.#manifest = await LineLog.open(join(this.#work, manifestName));
    if (this.#output.position > 0) return;
    await this.#manifest.append(head);
    await this.#writer.begin(toByteString(head));
  }

  /** Never rejects. */
  async fetch({ key, file }: { key: string; file: string }): Promise<Fetched> {
    const { signal, dryRun } = this.#options;
    try {
      signal.throwIfAborted();
      const opened = await about('cannot export', keyText(key), this.#source.open(key, signal));
      if (opened === undefined) return { key, file };
      if (dryRun) opened.stream.destroy();
      if (dryRun || opened.version.length > aheadBytesMax) return { key, file, opened };
      const body = this.#body(opened);
      const bytes: Buffer[] = [];
      const read = async () => {
        for await (const chunk of body) bytes.push(chunk);
      };
      await about('cannot export', keyText(key), read());
      return { key, file, opened, bytes, checksum: body.checksum };
    } catch (error) {
      return { key, file, error };
    }
  }

  /** Adds a file to the archive, or counts why not. */
  async write(fetched: Fetched): Promise<void> {
    const { key, file, opened, bytes, error } = fetched;
    const { signal, dryRun } = this.#options;
    signal.throwIfAborted();
    if (error !== undefined) return this.#report.fail(error, signal);
    // Deleted since it was listed.
    if (opened === undefined) return this.#report.skipped();
    const { fid, length, class: name = 'default' } = opened.version;
    const line = { ...jsonKey(key), bytes: length };
    if (dryRun) return this.#report.done(length, line);
    const known = fetched.checksum ?? opened.version.checksum;
    const entry = { key, file, class: name, fid, length, checksum: known };
    const start = this.#output.position;
    const body = this.#body(opened);
    try {
      const adding = this.#add(entry, bytes === undefined ? body : fromArray(bytes));
      await about('cannot export', keyText(key), adding);
    } catch (failure) {
      // Nobody can take back what went into a pipe.
      if (!(await this.#output.rewind(start))) throw failure;
      return this.#report.fail(failure, signal);
    }
    const checksum = fetched.checksum ?? body.checksum;
    this.#previous = checksum;
    await this.#manifest?.append(entryLine({ ...entry, checksum }));
    this.#output.files += 1;
    this.#output.bytes += length;
    this.#report.done(length, line);
  }

  /** The manifest and the end of the archive. */
  async finish(): Promise<void> {
    const { files, bytes } = this.#output;
    await this.#manifest?.append(endLine({ files, bytes }));
    await this.#manifest?.close();
    const path = join(this.#work, manifestName);
    const { size: length } = await stat(path);
    const comment = JSON.stringify(this.#previousField());
    const stream: AsyncIterable<Buffer> = createReadStream(path);
    await this.#writer.file({ name: manifestName, length, comment }, stream);
    await this.#writer.end();
  }

  #body({ version, stream }: OpenFile): CheckedBytes {
    return new CheckedBytes(stream, version, {
      onBytes: (bytes) => {
        this.#report.moved(bytes);
        return this.#throttle.take(bytes);
      },
    });
  }

  #add(entry: Entry, body: AsyncIterable<Buffer>): Promise<void> {
    const fields = { ...JSON.parse(entryLine(entry)), ...this.#previousField() };
    const comment = toByteString(JSON.stringify(fields));
    const member = { name: toByteString(entry.file), length: entry.length, comment };
    return this.#writer.file(member, body);
  }

  #previousField(): { previous?: string } {
    return this.#previous === undefined ? {} : { previous: formatChecksum(this.#previous) };
  }
}

async function* fromArray(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
}

function refused(message: string): OmgfsError {
  return new OmgfsError('BAD_ARGS', { message });
}
