/** Stores the files of a tree and remembers what was sent. */
import { existsSync } from 'node:fs';
import type { Client } from '@omgfs/client';
import { OmgfsError, toOmgfsError } from '@omgfs/protocol';
import { createProgress } from '../output.ts';
import { inParallel, type TreeFile } from '../tree.ts';

/** A stored file and the digest of the bytes that were sent. */
export interface SentFile {
  key: string;
  /** Where it was read from. */
  path: string;
  bytes: number;
  sha1: string;
}

const filesAtOnce = 16;

export interface Stored {
  sent: SentFile[];
  /** Keys whose file was removed before it could be read. */
  gone: string[];
  /** A line for each file that cannot be stored: its name is too long, or it cannot be read. */
  refused: string[];
}

/** @throws a failure that is not of one file alone; the reason of the signal. */
export async function storeAll(
  client: Client,
  files: readonly TreeFile[],
  signal: AbortSignal,
): Promise<Stored> {
  const outcome: Stored = { sent: [], gone: [], refused: [] };
  const total = files.reduce((sum, { bytes }) => sum + bytes, 0);
  const progress = createProgress({ label: 'storing', unit: 'bytes', total, json: false });
  try {
    await inParallel(files, { concurrency: filesAtOnce }, async ({ path, name: key, bytes }) => {
      signal.throwIfAborted();
      try {
        const stored = await client.put(key, { file: path }, { checksum: 'SHA-1', signal });
        outcome.sent.push({ key, path, bytes: stored.bytes, sha1: stored.checksum?.hex ?? '' });
      } catch (error) {
        signal.throwIfAborted();
        if (!isOfTheFile(error)) throw error;
        if (!existsSync(path)) outcome.gone.push(key);
        else outcome.refused.push(`${key}: ${toOmgfsError(error).message}`);
      }
      progress.add({ bytes });
    });
  } finally {
    progress.stop();
  }
  return outcome;
}

/** Whether the cause is one file, so that others can be stored. */
function isOfTheFile(error: unknown): boolean {
  if (error instanceof OmgfsError) {
    return ['KEY_TOO_LONG', 'BAD_ARGS', 'SIZE_MISMATCH'].includes(error.code);
  }
  // Reading the file failed.
  return error instanceof Error && 'syscall' in error;
}
