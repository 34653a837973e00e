/** One checked request, and what every method may do with it. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { DavError } from './errors.ts';
import type { DavFileSystem, FileFacts } from './file-system.ts';
import { parseIf } from './if-header.ts';
import type { Lock, Locks } from './locks.ts';
import { parentOf, parsePath } from './path.ts';
import type { Properties } from './properties.ts';

export interface Share {
  files: DavFileSystem;
  locks: Locks;
  properties: Properties;
  /** How many resources one request may list, copy or remove. */
  entriesMax: number;
}

export interface Call {
  share: Share;
  method: string;
  headers: IncomingMessage['headers'];
  res: ServerResponse;
  path: string;
  /** XML body; empty without one. */
  body: string;
  /** Lock tokens that the client has shown. */
  tokens: ReadonlySet<string>;
  /** Aborts when the client leaves. */
  signal: AbortSignal;
}

/** Answers with a status and perhaps XML. */
export type Method = (call: Call) => Promise<void>;

/** Evaluates the If header. @returns the tokens it shows. @throws DavError 400, 412. */
export async function checkIf(
  share: Share,
  header: string | undefined,
  path: string,
): Promise<Set<string>> {
  const tokens = new Set<string>();
  if (header === undefined) return tokens;
  let holds = false;
  for (const { tag, conditions } of parseIf(header)) {
    const about = tag === undefined ? path : parsePath(tag);
    const held = share.locks.covering(about).map((lock) => lock.token);
    let all = true;
    for (const condition of conditions) {
      const matches =
        'token' in condition
          ? held.includes(condition.token)
          : (await share.files.stat(about))?.etag === condition.etag;
      if (matches === condition.negated) all = false;
      if ('token' in condition && !condition.negated) tokens.add(condition.token);
    }
    holds ||= all;
  }
  if (!holds) throw new DavError(412, 'The If header does not hold.');
  return tokens;
}

/** What a change touches besides the resource itself. */
export interface Touched {
  /** A name appears in its parent or goes. */
  member?: boolean;
  /** Everything below, too. */
  deep?: boolean;
}

/** @throws DavError 423 unless the client holds the locks that the change needs. */
export function checkLocks(
  { locks }: Share,
  tokens: ReadonlySet<string>,
  path: string,
  { member = false, deep = false }: Touched,
): void {
  needOne(locks.covering(path), tokens);
  if (member) needOne(locks.covering(parentOf(path)), tokens);
  if (deep) for (const lock of locks.below(path)) needOne([lock], tokens);
}

function needOne(locks: readonly Lock[], tokens: ReadonlySet<string>): void {
  if (locks.length === 0 || locks.some(({ token }) => tokens.has(token))) return;
  throw new DavError(423, 'The resource is locked.', 'lock-token-submitted');
}

/** @throws DavError 404. */
export async function mustExist({ share, path }: Call): Promise<FileFacts> {
  const facts = await share.files.stat(path);
  if (facts === undefined) throw new DavError(404, 'There is no such resource.');
  return facts;
}

/** @throws DavError 409 unless the parent is a collection. */
export async function mustHaveParent({ files }: Share, path: string): Promise<void> {
  if ((await files.stat(parentOf(path)))?.kind === 'collection') return;
  throw new DavError(409, 'The parent is no collection; make it first.');
}

export function sendStatus({ res }: Call, status: number): void {
  res.writeHead(status, status === 204 ? {} : { 'Content-Length': 0 });
}

export const xmlHead = '<?xml version="1.0" encoding="utf-8"?>\n';
export const xmlType = { 'Content-Type': 'application/xml; charset=utf-8' } as const;

export function sendXml(
  { res }: Call,
  status: number,
  xml: string,
  headers: Record<string, string> = {},
): void {
  const bytes = Buffer.from(xmlHead + xml);
  res.writeHead(status, { ...xmlType, 'Content-Length': bytes.length, ...headers });
  res.write(bytes);
}
