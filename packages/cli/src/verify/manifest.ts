/**
 * What clients were told, as JSON lines: `{"domain","key","length","checksum"}`; the last line for
 * a key counts. Every such file must be there with those bytes.
 */
import { createReadStream } from 'node:fs';
import type { Admin } from '@omgfs/client';
import { type Checksum, OmgfsError, parseChecksum, toOmgfsError } from '@omgfs/protocol';
import { linesOf } from '../migrate/rows/lines.ts';
import { inParallel } from '../tree.ts';
import { type Finding, finding } from './findings.ts';
import type { ReplicaReader, ReplicaState } from './replica-reader.ts';
import type { VerifyOptions } from './verify.ts';

export interface Acknowledged {
  domain: string;
  key: string;
  length: number | undefined;
  checksum: Checksum | undefined;
}

/** @throws BAD_ARGS for a line that is none, with its number. */
export async function readManifest(path: string): Promise<Acknowledged[]> {
  const last = new Map<string, Acknowledged>();
  let number = 0;
  for await (const line of linesOf(createReadStream(path))) {
    number += 1;
    if (line.trim() === '') continue;
    const one = parseLine(line);
    if (one === undefined) {
      const message = `${path}, line ${number}: no {"domain", "key", "length", "checksum"}`;
      throw new OmgfsError('BAD_ARGS', { message });
    }
    last.set(`${one.domain}\0${one.key}`, one);
  }
  return [...last.values()];
}

function parseLine(line: string): Acknowledged | undefined {
  try {
    const { domain, key, length, checksum } = JSON.parse(line) as Record<string, unknown>;
    if (typeof domain !== 'string' || typeof key !== 'string') return undefined;
    const sum = typeof checksum === 'string' ? parseChecksum(checksum) : undefined;
    if (checksum != null && sum === undefined) return undefined;
    return { domain, key, length: typeof length === 'number' ? length : undefined, checksum: sum };
  } catch {
    return undefined;
  }
}

/** Reads one replica of every acknowledged file, whichever is right. */
export async function verifyManifest(
  { admin, reader }: { admin: Admin; reader: ReplicaReader },
  manifest: readonly Acknowledged[],
  options: VerifyOptions,
): Promise<void> {
  await inParallel(manifest, { concurrency: options.concurrency }, async (one) => {
    options.signal.throwIfAborted();
    const found = await verifyOne({ admin, reader }, one);
    if (found !== undefined) options.onFinding(found);
    options.onProgress(1);
  });
}

async function verifyOne(
  { admin, reader }: { admin: Admin; reader: ReplicaReader },
  { domain, key, length, checksum }: Acknowledged,
): Promise<Finding | undefined> {
  const where = { domain, key };
  let paths: string[];
  try {
    const reply = await admin.call('get_paths', { domain, key, noverify: true, pathcount: 99 });
    paths = Array.from({ length: Number(reply.paths) }, (_, at) => reply[`path${at + 1}`] ?? '');
  } catch (error) {
    const { code, message } = toOmgfsError(error);
    if (code !== 'UNKNOWN_KEY' && code !== 'UNREG_DOMAIN') throw error;
    return finding('lost', `acknowledged, and now: ${message}`, where);
  }
  const reasons: string[] = [];
  let reached = false;
  for (const path of paths) {
    const seen = checksum ? await reader.digest(path, checksum.type) : await reader.size(path);
    const fault = faultOf(seen, { length, checksum });
    if (fault === undefined) return undefined;
    reached ||= seen.state === 'present';
    reasons.push(fault);
  }
  const detail = reasons.join('; ') || 'it has no replicas';
  return finding(reached ? 'other_bytes' : 'lost', `acknowledged, and now: ${detail}`, where);
}

function faultOf(
  seen: ReplicaState,
  { length, checksum }: { length: number | undefined; checksum: Checksum | undefined },
): string | undefined {
  if (seen.state === 'missing') return 'a replica is missing';
  if (seen.state === 'unreachable') return seen.reason;
  if (length !== undefined && seen.bytes !== length) return `${seen.bytes} bytes, not ${length}`;
  if (checksum !== undefined && seen.hex !== checksum.hex)
    return `other bytes than ${checksum.hex}`;
  return undefined;
}
