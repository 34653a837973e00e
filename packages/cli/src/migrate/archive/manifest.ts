/**
 * The manifest of an export, JSON lines: what the export is of, then a line a file, the last line
 * for a key counting, then the end. Manifests may come from anywhere: every line is checked, and a
 * file has one of the two names that its key can have, so no manifest can name another file.
 */
import { createHash } from 'node:crypto';
import type { ClassInfo } from '@omgfs/client';
import {
  type Checksum,
  formatChecksum,
  fromByteString,
  hashTypes,
  OmgfsError,
  parseChecksum,
  toByteString,
} from '@omgfs/protocol';
import { printable } from '../../output.ts';
import { jsonKey, keyFromJson } from '../keys.ts';

export const manifestName = 'manifest.jsonl';

export interface ManifestHead {
  domain: string;
  prefix: string;
  classes: ClassInfo[];
}

export interface Entry {
  /** A byte string. */
  key: string;
  /** Name below the directory or in the archive. */
  file: string;
  class: string;
  fid: number;
  length: number;
  /** In an archive it may follow the bytes. */
  checksum: Checksum | undefined;
}

export interface ManifestEnd {
  files: number;
  bytes: number;
}

export type ManifestLine =
  | { kind: 'head'; head: ManifestHead }
  | { kind: 'entry'; entry: Entry & { checksum: Checksum } }
  | { kind: 'end'; end: ManifestEnd };

/** Version of the format; a higher one is refused. */
const formatVersion = 1;

/** Most bytes of one part of a file name on common file systems. */
const segmentBytesMax = 255;

/** The name that shows the key; undefined for a key that cannot be a file name. */
export function plainName(key: string): string | undefined {
  const text = fromByteString(key);
  if (toByteString(text) !== key || /\p{Cc}/u.test(text)) return undefined;
  const fits = key.split('/').every((segment) => {
    return (
      segment !== '' && segment !== '.' && segment !== '..' && segment.length <= segmentBytesMax
    );
  });
  return fits ? `files/${text}` : undefined;
}

/** The name that every key can have. */
export function hashedName(key: string): string {
  const digest = createHash('sha256').update(Buffer.from(key, 'latin1')).digest('hex');
  return `keys/${digest.slice(0, 2)}/${digest}`;
}

export function headLine({ domain, prefix, classes }: ManifestHead): string {
  return JSON.stringify({ omgfs: 'export', version: formatVersion, domain, prefix, classes });
}

export function entryLine({ key, checksum, ...rest }: Entry): string {
  const sum = checksum === undefined ? {} : { checksum: formatChecksum(checksum) };
  return JSON.stringify({ ...jsonKey(key), ...rest, ...sum });
}

export function endLine(end: ManifestEnd): string {
  return JSON.stringify({ end: true, ...end });
}

/** @throws BAD_ARGS with what is wrong; `where` begins the message. */
export function parseManifestLine(line: string, where: string): ManifestLine {
  const fields = parseObject(line, where);
  if (fields.omgfs !== undefined) return { kind: 'head', head: parseHead(fields, where) };
  if (fields.end === true) {
    const { files, bytes } = fields;
    if (!isCount(files) || !isCount(bytes)) throw bad(where, 'its end does not count files');
    return { kind: 'end', end: { files, bytes } };
  }
  const { checksum, ...entry } = parseEntry(fields, where);
  if (checksum === undefined) throw bad(where, 'there is no checksum');
  return { kind: 'entry', entry: { ...entry, checksum } };
}

/** @throws BAD_ARGS. */
export function parseObject(line: string, where: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(line);
    if (typeof value === 'object' && value !== null) return { ...value };
  } catch {
    // Said below.
  }
  throw bad(where, 'it is no JSON object');
}

/** @throws BAD_ARGS. */
export function parseEntry(fields: Record<string, unknown>, where: string): Entry {
  const key = keyFromJson(fields);
  const { file, class: name, fid, length, checksum } = fields;
  if (key === undefined || key === '') throw bad(where, 'there is no key');
  const about = `the entry of '${printable(fromByteString(key))}'`;
  if (typeof file !== 'string' || (file !== plainName(key) && file !== hashedName(key))) {
    throw bad(where, `${about} names a file that is not its own: ${JSON.stringify(file)}`);
  }
  if (typeof name !== 'string' || !isCount(fid) || !isCount(length)) {
    throw bad(where, `${about} lacks class, fid or length`);
  }
  const sum = typeof checksum === 'string' ? parseChecksum(checksum) : undefined;
  if (checksum !== undefined && sum === undefined) throw bad(where, `${about} has no checksum`);
  return { key, file, class: name, fid, length, checksum: sum };
}

/** @throws BAD_ARGS. */
export function parseHead(fields: Record<string, unknown>, where: string): ManifestHead {
  const { version, domain, prefix, classes } = fields;
  if (!isCount(version) || version > formatVersion) {
    throw bad(where, `its format ${String(version)} is newer than this omgfs`);
  }
  if (typeof domain !== 'string' || typeof prefix !== 'string' || !Array.isArray(classes)) {
    throw bad(where, 'its first line does not say what it is of');
  }
  return { domain, prefix, classes: classes.map((one: unknown) => parseClass(one, where)) };
}

function parseClass(value: unknown, where: string): ClassInfo {
  const { name, mindevcount, replpolicy, hashtype } = { ...(value as Partial<ClassInfo>) };
  const known =
    hashtype === null || (typeof hashtype === 'string' && Object.hasOwn(hashTypes, hashtype));
  if (
    typeof name !== 'string' ||
    !isCount(mindevcount) ||
    typeof replpolicy !== 'string' ||
    !known
  ) {
    throw bad(where, 'one of its classes is none');
  }
  return { name, mindevcount, replpolicy, hashtype };
}

function isCount(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

function bad(where: string, why: string): OmgfsError {
  return new OmgfsError('BAD_ARGS', { message: `${where}: ${why}` });
}
