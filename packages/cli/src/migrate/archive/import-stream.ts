/**
 * `omgfs import` of an archive from standard input, as it comes. Small files are kept in memory and
 * stored several at once, large ones are stored while they are read. Every file becomes visible
 * only when the checksum that follows it in the archive was compared.
 */
import { type Checksum, fromByteString, OmgfsError } from '@omgfs/protocol';
import { linesOf } from '../rows/lines.ts';
import { StreamBytes } from '../tar/bytes.ts';
import { type TarFile, TarReader } from '../tar/reader.ts';
import { checkFinished } from './import-directory.ts';
import { type ImportOptions, type ImportPlace, ImportRun } from './import-run.ts';
import {
  type Entry,
  type ManifestEnd,
  type ManifestHead,
  parseHead,
  parseManifestLine,
  parseObject,
} from './manifest.ts';
import { parseComment } from './tar-output.ts';

/** Files up to this many bytes are kept in memory. */
const smallBytesMax = 1024 * 1024;
const archive = 'the archive on standard input';

/** @throws BAD_ARGS for what is no export or a bad one; FAILURE when some files failed. */
export async function importStream(
  place: ImportPlace,
  stream: AsyncIterable<Buffer>,
  options: ImportOptions,
): Promise<void> {
  const reader = new TarReader(new StreamBytes(stream), archive);
  const run = new ImportRun(place, { ...options, total: undefined });
  const session = new StreamImport(reader, run, options);
  try {
    const first = await reader.next();
    const head = headOf(reader);
    await run.prepare(head);
    const end = await session.all(first);
    const partial = options.partial ?? false;
    checkFinished({ head, end }, { name: archive, partial });
    if (end !== undefined && end.files !== session.files && !partial) {
      const message = `${archive} holds ${session.files} files of ${end.files}`;
      throw new OmgfsError('BAD_ARGS', { message });
    }
  } finally {
    run.report.stop();
  }
  run.report.end(options.dryRun ? 'to import' : 'imported');
}

/** @throws BAD_ARGS for an archive that `omgfs export` did not write. */
function headOf(reader: TarReader): ManifestHead {
  if (reader.comment !== undefined) {
    return parseHead(parseObject(fromByteString(reader.comment), archive), archive);
  }
  const message = `${archive} was not written by omgfs export; import it from a file`;
  throw new OmgfsError('BAD_ARGS', { message });
}

class StreamImport {
  files = 0;
  readonly #reader: TarReader;
  readonly #run: ImportRun;
  readonly #options: ImportOptions;
  readonly #running = new Set<Promise<void>>();
  #failure: { error: unknown } | undefined;

  constructor(reader: TarReader, run: ImportRun, options: ImportOptions) {
    this.#reader = reader;
    this.#run = run;
    this.#options = options;
  }

  /** Stores all files. @returns the end of the manifest. */
  async all(first: TarFile | undefined): Promise<ManifestEnd | undefined> {
    const end = await this.#each(first).finally(() => Promise.all(this.#running));
    if (this.#failure !== undefined) throw this.#failure.error;
    return end;
  }

  async #each(first: TarFile | undefined): Promise<ManifestEnd | undefined> {
    for (let file = first; file !== undefined; ) {
      this.#options.signal.throwIfAborted();
      if (this.#failure !== undefined) throw this.#failure.error;
      const { entry } = parseComment(file, archive);
      if (entry === undefined) {
        const end = await this.#manifestEnd();
        await this.#reader.next();
        return end;
      }
      this.files += 1;
      file = await (file.length > smallBytesMax ? this.#large(entry) : this.#small(entry));
    }
    return undefined;
  }

  async #small(entry: Entry): Promise<TarFile> {
    const chunks: Buffer[] = [];
    for await (const chunk of this.#reader.body()) chunks.push(chunk);
    const { next, checksum } = await this.#behind();
    while (this.#running.size >= this.#options.jobs) await Promise.race(this.#running);
    const stored = { open: () => fromArray(chunks) };
    const running = this.#run.one({ ...entry, checksum }, stored).catch((error: unknown) => {
      this.#failure ??= { error };
    });
    this.#running.add(running);
    running.finally(() => this.#running.delete(running));
    return next;
  }

  async #large(entry: Entry): Promise<TarFile> {
    let behind: { next: TarFile; checksum: Checksum } | undefined;
    await this.#run.one(entry, {
      open: () => this.#reader.body(),
      once: true,
      checksumBehind: async () => {
        behind = await this.#behind();
        return behind.checksum;
      },
    });
    return (behind ?? (await this.#behind())).next;
  }

  /** The file behind the one that was read, and what it says of that. @throws BAD_ARGS. */
  async #behind(): Promise<{ next: TarFile; checksum: Checksum }> {
    const next = await this.#reader.next();
    const checksum = next && parseComment(next, archive).previous;
    if (next !== undefined && checksum !== undefined) return { next, checksum };
    throw new OmgfsError('BAD_ARGS', { message: `${archive} is cut off` });
  }

  async #manifestEnd(): Promise<ManifestEnd | undefined> {
    let last = '';
    for await (const line of linesOf(this.#reader.body())) last = line;
    const parsed = parseManifestLine(last, `${archive}, its manifest`);
    return parsed.kind === 'end' ? parsed.end : undefined;
  }
}

async function* fromArray(chunks: readonly Buffer[]): AsyncGenerator<Buffer> {
  yield* chunks;
}
