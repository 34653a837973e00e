/** Digests that a reader asks for (RFC 9530): of what is sent, and of the whole file. */
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { type Digests, digestField, digestOf, wantedAlgorithm } from '@omgfs/protocol';

export interface WantedDigests {
  content: string | undefined;
  repr: string | undefined;
  /** What was stored with the file, by algorithm. */
  stored: Digests;
}

/** @param find looks up the digests of the file; asked only when somebody wants one. */
export async function wantedDigests(
  headers: IncomingHttpHeaders,
  find: () => Promise<Digests | undefined>,
): Promise<WantedDigests | undefined> {
  const content = wantedAlgorithm(headers['want-content-digest']);
  const repr = wantedAlgorithm(headers['want-repr-digest']);
  if (content === undefined && repr === undefined) return undefined;
  return { content, repr, stored: (await find()) ?? {} };
}

/**
 * The digest headers of an answer. What cannot be had without reading a large file first is left
 * out, which RFC 9530 §4 allows.
 * @param sent the bytes of the answer, if they are at hand; `whole`: they are all of the file.
 */
export function digestHeaders(
  wanted: WantedDigests | undefined,
  { sent, whole }: { sent: Buffer | undefined; whole: boolean },
): OutgoingHttpHeaders {
  const headers: OutgoingHttpHeaders = {};
  if (wanted === undefined) return headers;
  const { content, repr, stored } = wanted;
  const hexOf = (algorithm: string, { mayRead }: { mayRead: boolean }) => {
    if (sent !== undefined && mayRead) return digestOf(sent, algorithm);
    return whole || !mayRead ? stored[algorithm] : undefined;
  };
  const contentHex = content && hexOf(content, { mayRead: true });
  if (content && contentHex) headers['Content-Digest'] = digestField(content, contentHex);
  const reprHex = repr && (stored[repr] ?? hexOf(repr, { mayRead: whole }));
  if (repr && reprHex) headers['Repr-Digest'] = digestField(repr, reprHex);
  return headers;
}
