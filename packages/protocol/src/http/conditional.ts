/** Conditional requests of RFC 9110 §13 for GET and HEAD. Pure. */
import type { IncomingHttpHeaders } from 'node:http';

/** What identifies the bytes of a file. */
export interface Validators {
  /** A strong entity tag with its quotes. */
  etag: string;
  /** Modification time, in whole seconds since 1970; undefined where it is not known. */
  modifiedSeconds: number | undefined;
}

/** `send`: answer with the file; otherwise the status to answer with. */
export type Verdict = 'send' | 304 | 412;

/** Evaluates the preconditions in the order of RFC 9110 §13.2.2, `If-Range` aside. */
export function evaluateConditions(headers: IncomingHttpHeaders, validators: Validators): Verdict {
  const { modifiedSeconds } = validators;
  const ifMatch = headers['if-match'];
  if (ifMatch !== undefined) {
    if (!matches(ifMatch, validators.etag, { weak: false })) return 412;
  } else {
    const since = secondsOf(headers['if-unmodified-since']);
    if (since !== undefined && modifiedSeconds !== undefined && modifiedSeconds > since) return 412;
  }
  const ifNoneMatch = headers['if-none-match'];
  if (ifNoneMatch !== undefined) {
    return matches(ifNoneMatch, validators.etag, { weak: true }) ? 304 : 'send';
  }
  const since = secondsOf(headers['if-modified-since']);
  if (since === undefined || modifiedSeconds === undefined) return 'send';
  return modifiedSeconds <= since ? 304 : 'send';
}

/** Whether a `Range` may be honoured (§13.1.5); a date must be exactly the one sent before. */
export function rangeApplies(
  ifRange: string | string[] | undefined,
  validators: Validators,
): boolean {
  if (ifRange === undefined) return true;
  if (typeof ifRange !== 'string') return false;
  if (/^(?:W\/)?"/.test(ifRange)) return ifRange === validators.etag;
  const date = secondsOf(ifRange);
  return date !== undefined && date === validators.modifiedSeconds;
}

function matches(list: string, etag: string, { weak }: { weak: boolean }): boolean {
  if (list.trim() === '*') return true;
  for (const [tag] of list.matchAll(/(?:W\/)?"[^"]*"/g)) {
    if (tag === etag || (weak && tag === `W/${etag}`)) return true;
  }
  return false;
}

function secondsOf(date: string | undefined): number | undefined {
  if (date === undefined) return undefined;
  const ms = Date.parse(date);
  return Number.isNaN(ms) ? undefined : Math.floor(ms / 1000);
}
