/**
 * What a POST asks for. One answer for all who look: what is let through as a request whose parts
 * have signatures of their own must not be served as one that needs its own.
 */
import type { IncomingHttpHeaders } from 'node:http';
import { bundle, pullHeaders, scrubHeader } from '@omgfs/protocol';

export type PostKind = 'pull' | 'pulls' | 'bundle' | 'scrub';

const kinds: readonly [string, PostKind][] = [
  [pullHeaders.source, 'pull'],
  [pullHeaders.batch, 'pulls'],
  [bundle.header, 'bundle'],
  [scrubHeader, 'scrub'],
];

export function postKindOf(headers: IncomingHttpHeaders): PostKind | undefined {
  return kinds.find(([header]) => headers[header] !== undefined)?.[1];
}
