/** Paths of requests: decoded once to byte strings, normalised, bounded. */
import { DavError } from './errors.ts';

const pathBytesMax = 4096;

/** @throws DavError 400 for what is no absolute path. */
export function parsePath(target: string): string {
  if (target.length > pathBytesMax) throw new DavError(414, 'The path is too long.');
  const relative = target.replace(/^https?:\/\/[^/?#]*(?=[/?#]|$)/i, '');
  if (relative.includes('#')) throw new DavError(400, 'A fragment is no part of a request.');
  const encoded = relative.replace(/\?.*$/s, '');
  if (/%(?![0-9a-f]{2})/i.test(encoded)) throw new DavError(400, 'A percent escape is malformed.');
  const path = encoded.replace(/%(..)/g, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  const segments = path.split('/').filter((segment) => segment !== '');
  if (!path.startsWith('/') || path.includes('\0')) {
    throw new DavError(400, 'The path must begin with a slash and hold no NUL byte.');
  }
  if (segments.some((segment) => segment === '..' || segment === '.')) {
    throw new DavError(403, 'The path must not hold dot segments.');
  }
  return `/${segments.join('/')}`;
}

/** The path of a Destination header. @throws DavError 400, or 502 for another server. */
export function parseDestination(header: string | undefined, host: string | undefined): string {
  if (header === undefined) throw new DavError(400, 'A Destination header is needed.');
  const match = /^(?:https?:\/\/([^/?#\s]+))?(\/[^\s]*)$/i.exec(header);
  if (match === null) throw new DavError(400, 'The Destination is no URL.');
  if (match[1] !== undefined && match[1].toLowerCase() !== host?.toLowerCase()) {
    throw new DavError(502, 'The Destination is on another server.');
  }
  return parsePath(match[2] ?? '');
}

export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/')) || '/';
}

export function childOf(path: string, name: string): string {
  return path === '/' ? `/${name}` : `${path}/${name}`;
}

/** Whether a path is `root` or below it. */
export function isWithin(path: string, root: string): boolean {
  return path === root || path.startsWith(root === '/' ? '/' : `${root}/`);
}

export function hrefOf(path: string, collection: boolean): string {
  const encoded = path.replace(/[^\w.!~*'()/-]/g, (character) => {
    return `%${character.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`;
  });
  return collection && path !== '/' ? `${encoded}/` : encoded;
}
