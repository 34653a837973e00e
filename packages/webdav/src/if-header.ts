/** The If header (RFC 4918 §10.4): lists of conditions, each about one resource. */
import { DavError } from './errors.ts';

export type Condition = { negated: boolean } & ({ token: string } | { etag: string });

export interface ConditionList {
  /** The URL it is about; the requested one without. */
  tag: string | undefined;
  conditions: Condition[];
}

const listsMax = 100;

/** @throws DavError 400. Linear in the length of the header. */
export function parseIf(header: string): ConditionList[] {
  const token = /\s*(?:(\()|(\))|<([^<>\s]+)>|\[((?:W\/)?"[^"\]]*")\]|(not)(?![a-z]))\s*/iy;
  const lists: ConditionList[] = [];
  let tag: string | undefined;
  let conditions: Condition[] | undefined;
  let negated = false;
  const refuse = () => new DavError(400, 'The If header cannot be parsed.');
  for (token.lastIndex = 0; token.lastIndex < header.length; ) {
    const match = token.exec(header);
    if (match === null || lists.length > listsMax) throw refuse();
    const [, opens, closes, url, etag, not] = match;
    if (conditions === undefined) {
      if (opens) conditions = [];
      else if (url !== undefined) tag = url;
      else throw refuse();
    } else if (closes) {
      if (conditions.length === 0 || negated) throw refuse();
      lists.push({ tag, conditions });
      conditions = undefined;
    } else if (not && !negated) {
      negated = true;
    } else if (url !== undefined || etag !== undefined) {
      conditions.push(url !== undefined ? { negated, token: url } : { negated, etag: etag ?? '' });
      negated = false;
    } else {
      throw refuse();
    }
  }
  if (conditions !== undefined || lists.length === 0) throw refuse();
  return lists;
}
