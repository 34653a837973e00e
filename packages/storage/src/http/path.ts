/**
 * From the request target to a place below a device, or a refusal (spec §8.1). Percent escapes are
 * decoded here and nowhere else; the query is ignored. Nothing here looks at the disk.
 */
import { OmgfsError } from '@omgfs/protocol';

/** What a GET or HEAD names. */
export type ReadTarget =
  | { kind: 'root' }
  | { kind: 'fid'; fid: number }
  | { kind: 'scrub'; devid: number }
  | { kind: 'device'; devid: number; name: string };

/** What a PUT, DELETE or MKCOL names: `name` is relative to the device directory. */
export interface WriteTarget {
  devid: number;
  name: string;
  /** The target ended in a slash, so it means a directory. */
  directory: boolean;
}

/** Longer targets are refused: PATH_MAX of Linux. */
const targetBytesMax = 4096;
/** NAME_MAX of Linux. */
const segmentBytesMax = 255;

const plainTarget = /^(?:\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)+$/;
const plainFile =
  /^\/dev([1-9][0-9]{0,8})\/([A-Za-z0-9_-][A-Za-z0-9_.-]*(?:\/[A-Za-z0-9_-][A-Za-z0-9_.-]*)*)$/;
const deviceName = /^dev([1-9][0-9]{0,8})$/;
const writableSegment = /^[A-Za-z0-9_.-]+$/;
/** The one thing below a dot name that is shown. */
const scrubTarget = /^\/dev([1-9][0-9]{0,8})\/\.omgfs\/scrub$/;
const fidTarget = /^[1-9][0-9]{0,15}$/;

/**
 * The place of a file, for a target that names one beyond doubt: there is nothing to decode,
 * nothing private, and nothing that belongs to the node. All others are for the functions below.
 */
export function plainPlace(target: string): { devid: number; name: string } | undefined {
  if (target.length > segmentBytesMax) return undefined;
  const [, devid, name] = plainFile.exec(target) ?? [];
  return name === undefined || name === 'usage' ? undefined : { devid: Number(devid), name };
}

/** @throws INVALID_PATH, PATH_FORBIDDEN, NO_FILE. */
export function parseReadTarget(target: string): ReadTarget {
  const path = decodeTarget(target);
  const segments = path.split('/').filter((segment) => segment !== '');
  const scrubbed = scrubTarget.exec(path)?.[1];
  if (scrubbed !== undefined) return { kind: 'scrub', devid: Number(scrubbed) };
  // Dot names are the node's own: identity, temporary files. `..` is one of them.
  if (segments.some((segment) => segment.startsWith('.'))) {
    throw new OmgfsError('PATH_FORBIDDEN', { message: 'Names that begin with a dot are private.' });
  }
  const [first, ...rest] = segments;
  if (first === undefined) return { kind: 'root' };
  if (first === 'fid' && rest.length === 1 && fidTarget.test(rest[0] ?? '')) {
    return { kind: 'fid', fid: Number(rest[0]) };
  }
  const devid = devidOf(first);
  if (devid === undefined) {
    throw new OmgfsError('NO_FILE', { message: `There is nothing under /${first} on this node.` });
  }
  return { kind: 'device', devid, name: rest.join('/') };
}

/**
 * @param anyName lets names be any text, as WebDAV clients need.
 * @throws INVALID_PATH, PATH_FORBIDDEN, NO_DEVICE when the first part names no device.
 */
export function parseWriteTarget(
  target: string,
  { anyName = false }: { anyName?: boolean } = {},
): WriteTarget {
  const path = decodeTarget(target);
  const segments = path.split('/').filter((segment) => segment !== '');
  for (const segment of segments) {
    if (!(anyName || writableSegment.test(segment)) || segment === '..') {
      throw new OmgfsError('INVALID_PATH', {
        message: 'Each part of the path must consist of A-Z a-z 0-9 _ . - and must not be "..".',
      });
    }
  }
  const [first, ...rest] = segments;
  if (first === undefined) {
    throw new OmgfsError('INVALID_PATH', { message: 'The path must begin with /devN/.' });
  }
  const devid = devidOf(first);
  if (devid === undefined) throw noDevice(first);
  if (rest.some((segment) => segment.startsWith('.')) || rest[0] === 'usage') {
    throw new OmgfsError('PATH_FORBIDDEN', {
      message: 'The usage file and names that begin with a dot belong to the node.',
    });
  }
  return { devid, name: rest.join('/'), directory: path.endsWith('/') };
}

/** The devid of a directory name of the docroot, if it is one of a device. */
export function devidOf(name: string): number | undefined {
  const match = deviceName.exec(name);
  return match === null ? undefined : Number(match[1]);
}

export function noDevice(name: string): OmgfsError {
  return new OmgfsError('NO_DEVICE', {
    message:
      `This node has no directory ${name} below its docroot. ` +
      'Creating it is up to the operator; it is noticed without a restart.',
  });
}

function decodeTarget(target: string): string {
  if (target.length > targetBytesMax) {
    throw new OmgfsError('INVALID_PATH', { message: 'The path is too long.' });
  }
  // Nearly every request: nothing to decode and no name that could be too long.
  if (target.length <= segmentBytesMax && plainTarget.test(target)) return target;
  // RFC 9112 §3.2.2: a server must accept the absolute form too.
  const relative = target.replace(/^https?:\/\/[^/?#]*(?=[/?#]|$)/i, '');
  const path = decode(relative.replace(/[?#].*$/s, ''));
  if (!path.startsWith('/')) {
    throw new OmgfsError('INVALID_PATH', { message: 'The path must begin with a slash.' });
  }
  if (path.includes('\0')) {
    throw new OmgfsError('INVALID_PATH', { message: 'The path holds a NUL byte.' });
  }
  if (path.split('/').some((segment) => Buffer.byteLength(segment) > segmentBytesMax)) {
    throw new OmgfsError('INVALID_PATH', { message: 'A part of the path is too long.' });
  }
  return path;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw new OmgfsError('INVALID_PATH', { message: 'A percent escape is malformed.', cause });
  }
}
