/** The body of a request that is a JSON list, in bounded memory. */
import type { IncomingMessage } from 'node:http';
import { OmgfsError } from '@omgfs/protocol';

export interface ListLimits {
  itemsMax: number;
  bytesMax: number;
  /** What the items are, for the error. */
  what: string;
}

/** @throws BAD_REQUEST unless it is a list of at most so many. */
export async function readList(req: IncomingMessage, limits: ListLimits): Promise<unknown[]> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > limits.bytesMax) throw unreadable(limits);
    chunks.push(chunk);
  }
  try {
    const list: unknown = JSON.parse(Buffer.concat(chunks).toString());
    if (Array.isArray(list) && list.length <= limits.itemsMax) return list;
  } catch {
    // Said below.
  }
  throw unreadable(limits);
}

export function unreadable({ what, itemsMax, bytesMax }: ListLimits): OmgfsError {
  return new OmgfsError('BAD_REQUEST', {
    message: `The body must be a JSON list of at most ${itemsMax} ${what} in ${bytesMax} bytes.`,
  });
}
