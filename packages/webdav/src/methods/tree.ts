/** MKCOL, DELETE, COPY and MOVE. */
import { randomBytes } from 'node:crypto';
import {
  type Call,
  checkLocks,
  mustExist,
  mustHaveParent,
  type Share,
  sendStatus,
} from '../context.ts';
import { DavError } from '../errors.ts';
import type { FileFacts } from '../file-system.ts';
import { childOf, isWithin, parseDestination } from '../path.ts';
import { inParallel } from './parallel.ts';

const depthMax = 64;
/** Each is a transfer with its buffers. */
const copiesMax = 8;
/** Each waits for a database that commits many together. */
const removalsMax = 32;

export async function mkcol(call: Call): Promise<void> {
  const { share, path, tokens } = call;
  if (call.body !== '') throw new DavError(415, 'MKCOL with a body is not understood.');
  if (await share.files.stat(path)) throw new DavError(405, 'The name is taken.');
  await mustHaveParent(share, path);
  checkLocks(share, tokens, path, { member: true });
  await share.files.makeCollection(path);
  sendStatus(call, 201);
}

export async function remove(call: Call): Promise<void> {
  const { share, path } = call;
  mustNotBeFixed(await mustExist(call));
  checkLocks(share, call.tokens, path, { member: true, deep: true });
  await removeTree(call, path);
  sendStatus(call, 204);
}

export async function copyOrMove(call: Call): Promise<void> {
  const { share, path, headers, tokens } = call;
  const { files, properties, locks } = share;
  const moving = call.method === 'MOVE';
  const to = parseDestination(headers.destination?.toString(), headers.host);
  const facts = await mustExist(call);
  const depth = (headers.depth ?? 'infinity').toString().toLowerCase();
  if (depth !== 'infinity' && (moving || depth !== '0')) {
    throw new DavError(400, 'Depth is infinity, or 0 for COPY.');
  }
  if (isWithin(to, path) || isWithin(path, to)) {
    throw new DavError(403, 'Source and destination must not hold each other.');
  }
  await mustHaveParent(share, to);
  const before = await files.stat(to);
  const replace = !/^f$/i.test((headers.overwrite ?? 'T').toString());
  if (before !== undefined && !replace) {
    throw new DavError(412, 'The destination exists.');
  }
  mustNotBeFixed(before);
  if (moving) mustNotBeFixed(facts);
  if (moving) checkLocks(share, tokens, path, { member: true, deep: true });
  checkLocks(share, tokens, to, { member: before === undefined, deep: true });
  const deep = depth === 'infinity';
  if (!moving && deep) await countTree(call, path);
  // A file replaces a file in one step; a reader sees the old or the new one.
  const inTheWay = before !== undefined && [before.kind, facts.kind].includes('collection');
  const kinds = { before: before?.kind ?? facts.kind, after: facts.kind };
  if (moving) {
    if (inTheWay) await moveOver(call, { from: path, to, kinds });
    else await files.move(path, to, { kind: facts.kind, replace });
    locks.drop(path);
    properties.move(path, to);
  } else {
    if (inTheWay) await copyOver(call, { from: path, to, kinds, deep });
    else await copyTree(call, { from: path, to, deep, replace });
    properties.drop(to);
    properties.copy(path, to);
  }
  sendStatus(call, before === undefined ? 201 : 204);
}

interface Replacing {
  from: string;
  to: string;
  /** What is there, and what comes. */
  kinds: { before: FileFacts['kind']; after: FileFacts['kind'] };
}

/**
 * Moves onto what must be removed first: that steps aside, and back if the move fails, and is
 * removed only afterwards. Whoever looks finds the old or the new, but for the moment in between.
 */
async function moveOver(call: Call, { from, to, kinds }: Replacing): Promise<void> {
  const { files, properties, locks } = call.share;
  const aside = freeNameBeside(to);
  const { before, after } = kinds;
  // Nothing steps aside that is too large to be removed.
  await countTree(call, to);
  const forget = await files.noteAside?.(aside, { replaced: { path: to, by: from } });
  await files.move(to, aside, { kind: before, replace: false });
  try {
    await files.move(from, to, { kind: after, replace: false });
  } catch (error) {
    await files.move(aside, to, { kind: before, replace: false });
    await forget?.();
    throw error;
  }
  properties.drop(to);
  locks.drop(to);
  await removeTree(toTheEnd(call), aside);
  await forget?.();
}

/** Copies beside it first, so that an interrupted copy leaves what was there. */
async function copyOver(
  call: Call,
  { from, to, kinds, deep }: Replacing & { deep: boolean },
): Promise<void> {
  const beside = freeNameBeside(to);
  const forget = await call.share.files.noteAside?.(beside);
  try {
    await copyTree(call, { from, to: beside, deep, replace: false });
    await moveOver(call, { from: beside, to, kinds });
  } catch (error) {
    const left = await call.share.files.stat(beside);
    if (left !== undefined) await removeTree(toTheEnd(call), beside);
    await forget?.();
    throw error;
  }
  await forget?.();
}

function freeNameBeside(path: string): string {
  return `${path}.moving-${randomBytes(4).toString('hex')}`;
}

/** Goes on when the client has left: what is half done would be in somebody's way. */
function toTheEnd(call: Call): Call {
  return { ...call, signal: new AbortController().signal };
}

/** Before anything in it is touched. @throws DavError 403. */
function mustNotBeFixed(facts: FileFacts | undefined): void {
  if (facts?.fixed)
    throw new DavError(403, 'This collection cannot be removed, moved or replaced.');
}

interface Visit {
  path: string;
  collection: boolean;
}

/** Parents before members. @throws DavError 507 beyond the bounds. */
async function* walk({ share, signal }: Call, root: string): AsyncGenerator<Visit> {
  let seen = 0;
  async function* visit(path: string, depth: number, known?: FileFacts): AsyncGenerator<Visit> {
    signal.throwIfAborted();
    seen += 1;
    if (seen > share.entriesMax || depth > depthMax) {
      throw new DavError(507, `The tree holds more than ${share.entriesMax} resources.`);
    }
    const facts = known ?? (await share.files.stat(path));
    if (facts === undefined) return;
    const collection = facts.kind === 'collection';
    yield { path, collection };
    if (!collection) return;
    for await (const { name, facts: told } of share.files.list(path)) {
      yield* visit(childOf(path, name), depth + 1, told);
    }
  }
  yield* visit(root, 0);
}

/** Nothing is begun that is too large to be finished. */
async function countTree(call: Call, path: string): Promise<void> {
  for await (const _ of walk(call, path));
}

async function removeTree(call: Call, root: string): Promise<void> {
  const { files, properties, locks }: Share = call.share;
  await countTree(call, root);
  const collections: string[] = [];
  async function* filesToRemove(): AsyncGenerator<string> {
    for await (const { path, collection } of walk(call, root)) {
      if (collection) collections.push(path);
      else yield path;
    }
  }
  const remove = (path: string) => files.remove(path, 'file');
  await inParallel(filesToRemove(), { atOnce: removalsMax, work: remove });
  for (const path of collections.reverse()) {
    call.signal.throwIfAborted();
    await files.remove(path, 'collection');
  }
  properties.drop(root);
  locks.drop(root);
}

async function copyTree(
  call: Call,
  { from, to, deep, replace }: { from: string; to: string; deep: boolean; replace: boolean },
): Promise<void> {
  const { files } = call.share;
  const options = { replace, signal: call.signal };
  const target = (path: string) => to + path.slice(from.length);
  async function* filesToCopy(): AsyncGenerator<string> {
    for await (const { path, collection } of walk(call, from)) {
      // Before its members.
      if (collection) await files.makeCollection(target(path));
      else yield path;
      if (!deep) return;
    }
  }
  const copy = (path: string) => files.copyFile(path, target(path), options);
  await inParallel(filesToCopy(), { atOnce: copiesMax, work: copy });
}
