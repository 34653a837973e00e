/** The length of a replica, by HEAD. */
import { errorHeader } from '@omgfs/protocol';
import type { Dispatcher } from 'undici';
import { call, contentLengthOf, isSuccess } from './http.ts';

export type SizeOutcome =
  | { state: 'present'; bytes: number }
  | { state: 'missing' }
  /** `ofFile`: the node says so of this file alone, while its disk works. */
  | { state: 'unreachable'; reason: string; ofFile?: true };

/** Asks a node for the length of a replica. */
export async function readSize(
  agent: Dispatcher,
  target: { url: string; deadlineMs: number },
): Promise<SizeOutcome> {
  const reply = await call(agent, { method: 'HEAD', ...target });
  if (!reply.answered) return { state: 'unreachable', reason: reply.reason };
  if (reply.status === 404) return { state: 'missing' };
  if (reply.headers[errorHeader] === 'FILE_UNREADABLE') {
    return { state: 'unreachable', reason: 'its node cannot read the file', ofFile: true };
  }
  if (!isSuccess(reply.status)) {
    return { state: 'unreachable', reason: `answered ${reply.status}` };
  }
  const bytes = contentLengthOf(reply.headers);
  if (bytes !== undefined) return { state: 'present', bytes };
  // Lighttpd leaves the length of an empty file out (spec §9.3).
  if (String(reply.headers.server ?? '').startsWith('lighttpd')) {
    return { state: 'present', bytes: 0 };
  }
  return { state: 'unreachable', reason: 'answered without a length' };
}
