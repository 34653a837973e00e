/** The layout of a `multipart/byteranges` answer (RFC 9110 §14.6). Pure but for the boundary. */
import { randomBytes } from 'node:crypto';
import type { ByteRange } from '@omgfs/protocol';

export interface Multipart {
  /** For the Content-Type header. */
  type: string;
  /** Of the whole body, in bytes. */
  length: number;
  /** Text to send before the bytes of each range. */
  parts: readonly { preface: string; range: ByteRange }[];
  /** Text to send at the end. */
  closing: string;
}

/** @param size length of the whole file in bytes. */
export function multipart(
  ranges: readonly ByteRange[],
  size: number,
  contentType: string,
): Multipart {
  // Random, so that no file can hold it by intent.
  const boundary = randomBytes(18).toString('hex');
  const parts = ranges.map((range, index) => {
    const { start, end } = range;
    const lead = index === 0 ? '' : '\r\n';
    const preface =
      `${lead}--${boundary}\r\nContent-Type: ${contentType}\r\n` +
      `Content-Range: bytes ${start}-${end}/${size}\r\n\r\n`;
    return { preface, range };
  });
  const closing = `\r\n--${boundary}--\r\n`;
  const length = parts.reduce(
    (sum, { preface, range }) => sum + preface.length + range.end - range.start + 1,
    closing.length,
  );
  return { type: `multipart/byteranges; boundary=${boundary}`, length, parts, closing };
}
