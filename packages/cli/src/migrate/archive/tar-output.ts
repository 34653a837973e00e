/**
 * Where a tar archive is written: standard output, or a file that an earlier run may have begun. A
 * file of the archive counts when the header behind it is there, because that has its checksum.
 */
import { constants } from 'node:fs';
import { type FileHandle, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Checksum,
  fromByteString,
  OmgfsError,
  parseChecksum,
  toOmgfsError,
} from '@omgfs/protocol';
import { LineLog } from '../rows/line-log.ts';
import { type Row, SortedRows } from '../rows/sorted-rows.ts';
import { FileBytes } from '../tar/bytes.ts';
import { type TarFile, TarReader } from '../tar/reader.ts';
import {
  type Entry,
  entryLine,
  headLine,
  type ManifestHead,
  manifestName,
  parseEntry,
  parseHead,
  parseObject,
} from './manifest.ts';

export interface TarOutput {
  /** What is in the archive already, by key. */
  readonly known: AsyncIterable<Row>;
  position: number;
  /** Of the last file in the archive. */
  readonly previous: Checksum | undefined;
  /** Files in the archive, and their bytes. */
  files: number;
  bytes: number;
  write(bytes: Buffer): Promise<void>;
  /** Takes back what was written behind a position. @returns false where that cannot be. */
  rewind(position: number): Promise<boolean>;
  close(): Promise<void>;
}

/** What a comment of a file says: the file, and the checksum of the one before. */
export interface TarComment {
  /** Undefined for the manifest. */
  entry: Entry | undefined;
  previous: Checksum | undefined;
}

/** @throws BAD_ARGS when it is no comment of an export, or not one of this file. */
export function parseComment(file: TarFile, archive: string): TarComment {
  const where = `${archive}, ${fromByteString(file.name)}`;
  const fields = parseObject(fromByteString(file.comment ?? ''), where);
  const { previous } = fields;
  const checksum = typeof previous === 'string' ? parseChecksum(previous) : undefined;
  if (fields.file === undefined && file.name === manifestName) {
    return { entry: undefined, previous: checksum };
  }
  const entry = parseEntry(fields, where);
  if (entry.file === fromByteString(file.name) && entry.length === file.length) {
    return { entry, previous: checksum };
  }
  throw new OmgfsError('BAD_ARGS', { message: `${where}: its comment is of another file` });
}

export async function toStandardOutput(work: string): Promise<TarOutput> {
  const known = await SortedRows.from([], { dir: work, name: 'known' });
  // Should the reader go away, the archive is not whole.
  process.exitCode = 1;
  return {
    ...{ known, position: 0, files: 0, bytes: 0, previous: undefined },
    write: (bytes) =>
      new Promise((resolve, reject) => {
        process.stdout.write(bytes, (error) => (error ? reject(error) : resolve()));
      }),
    rewind: async () => false,
    close: async () => {},
  };
}

/** The archive below `work`; what an earlier run left of it stays as far as it is certain. */
export async function openPart(work: string, head: ManifestHead): Promise<TarOutput> {
  const file = await open(join(work, 'archive'), constants.O_RDWR | constants.O_CREAT);
  const manifest = join(work, manifestName);
  const { size } = await file.stat();
  await rm(manifest, { force: true });
  const log = await LineLog.open(manifest);
  const found = { position: 0, files: 0, bytes: 0, previous: undefined as Checksum | undefined };
  async function* entries(): AsyncGenerator<Row> {
    for await (const { entry, end } of certainFiles(new FileBytes(file, size), { work, head })) {
      if (found.position === 0) await log.append(headLine(head));
      await log.append(entryLine(entry));
      found.position = end;
      found.files += 1;
      found.bytes += entry.length;
      found.previous = entry.checksum;
      yield { key: entry.key, value: '' };
    }
  }
  const known = await SortedRows.from(entries(), { dir: work, name: 'known' });
  await log.close();
  await file.truncate(found.position);
  return new PartFile(file, { ...found, known });
}

class PartFile implements TarOutput {
  readonly known: AsyncIterable<Row>;
  readonly previous: Checksum | undefined;
  position: number;
  files: number;
  bytes: number;
  #file: FileHandle | undefined;

  constructor(
    file: FileHandle,
    found: Pick<TarOutput, 'known' | 'previous' | 'position' | 'files' | 'bytes'>,
  ) {
    this.#file = file;
    this.known = found.known;
    this.previous = found.previous;
    this.position = found.position;
    this.files = found.files;
    this.bytes = found.bytes;
  }

  async write(bytes: Buffer): Promise<void> {
    for (let at = 0; at < bytes.length; ) {
      const written = await this.#file?.write(bytes, at, bytes.length - at, this.position);
      const { bytesWritten = 0 } = written ?? {};
      at += bytesWritten;
      this.position += bytesWritten;
    }
  }

  async rewind(position: number): Promise<boolean> {
    await this.#file?.truncate(position);
    this.position = position;
    return true;
  }

  async close(): Promise<void> {
    const file = this.#file;
    this.#file = undefined;
    await file?.sync();
    await file?.close();
  }
}

/** Files of a begun archive whose end and checksum are known, each with the position behind it. */
async function* certainFiles(
  bytes: FileBytes,
  { work, head }: { work: string; head: ManifestHead },
): AsyncGenerator<{ entry: Entry; end: number }> {
  const reader = new TarReader(bytes, work);
  let last: Entry | undefined;
  try {
    for (let file = await reader.next(); file !== undefined; file = await reader.next()) {
      if (last === undefined) checkSame(reader, { work, head });
      const { entry, previous } = parseComment(file, work);
      if (last !== undefined && previous === undefined) return;
      if (last !== undefined) yield { entry: { ...last, checksum: previous }, end: file.headerAt };
      last = entry;
      if (entry === undefined) return;
    }
  } catch (error) {
    if (toOmgfsError(error).details.other === true) throw error;
    // Cut off where the run before was killed.
  }
}

/** @throws BAD_ARGS when the run before was an export of something else. */
function checkSame(reader: TarReader, { work, head }: { work: string; head: ManifestHead }): void {
  const fields = parseObject(fromByteString(reader.comment ?? ''), work);
  const { domain, prefix } = parseHead(fields, work);
  if (domain === head.domain && prefix === head.prefix) return;
  throw new OmgfsError('BAD_ARGS', {
    message: `${work} is of an export of '${prefix}' of domain ${domain}; remove it or go on there`,
    details: { other: true },
  });
}
