/** The `Content-Range` of a PUT: which part of a file its body is (RFC 9110 §14.4, §14.5). Pure. */

export type Piece =
  /** Bytes of a file whose length is known. */
  | { kind: 'piece'; start: number; end: number; total: number }
  /** Bytes of a file that grows until its client says elsewhere that it is done. */
  | { kind: 'open'; start: number; end: number }
  /** How much of a file of that length is there? */
  | { kind: 'question'; total: number };

/** Both ends are inclusive. @returns undefined for what cannot be understood. */
export function parseContentRange(header: string): Piece | undefined {
  const match = /^bytes (?:(\d{1,15})-(\d{1,15})|\*)\/(\d{1,15}|\*)$/i.exec(header.trim());
  if (match === null) return undefined;
  const [, first, last, length] = match;
  const total = length === '*' ? undefined : Number(length);
  if (first === undefined) return total === undefined ? undefined : { kind: 'question', total };
  const [start, end] = [Number(first), Number(last)];
  if (end < start) return undefined;
  if (total === undefined) return { kind: 'open', start, end };
  return end < total ? { kind: 'piece', start, end, total } : undefined;
}
