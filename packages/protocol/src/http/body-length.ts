/** How long the body of an upload says that it is, and that it is sent as it is. */
import type { IncomingHttpHeaders } from 'node:http';
import { OmgfsError } from '../errors.ts';

/**
 * Refuses bodies in codings other than `chunked` (RFC 9112 §6.1), which the parser lets through:
 * they would be stored compressed, as if the file were so.
 * @throws BAD_REQUEST.
 */
export function checkCoding({ 'transfer-encoding': coding }: IncomingHttpHeaders): void {
  if (coding === undefined || /^\s*chunked\s*$/i.test(coding)) return;
  throw new OmgfsError('BAD_REQUEST', {
    message: `Transfer-Encoding: ${coding} is not understood; send the bytes as they are.`,
  });
}

/** @returns undefined for a chunked body. @throws BAD_REQUEST without either. */
export function announcedLength(headers: IncomingHttpHeaders): number | undefined {
  checkCoding(headers);
  if (headers['transfer-encoding'] !== undefined) return undefined;
  const length = headers['content-length'];
  if (length !== undefined && /^\d{1,15}$/.test(length)) return Number(length);
  throw new OmgfsError('BAD_REQUEST', {
    message: 'A PUT needs a valid Content-Length or a chunked body.',
  });
}
