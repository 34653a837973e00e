/** `omgfs put`: stores files, directory trees or standard input. */
import { stat } from 'node:fs/promises';
import { basename } from 'node:path';
import type { Client, PutOptions, StoredFile, UploadSource } from '@omgfs/client';
import { type ErrorCode, OmgfsError } from '@omgfs/protocol';
import {
  about,
  createProgress,
  formatBytes,
  type Progress,
  printError,
  printJson,
  printLeft,
  printLine,
  shownKey,
  someFailed,
} from '../output.ts';
import { inParallel, walkTree } from '../tree.ts';

export interface PutCommandOptions {
  json: boolean;
  key?: string;
  prefix?: string;
  class?: string;
  recursive?: boolean;
  jobs: number;
}

interface Upload {
  key: string;
  source: UploadSource;
  /** Undefined for standard input. */
  bytes: number | undefined;
}

interface Plan {
  uploads: Upload[];
  /** What could not be planned, and was said. */
  left: number;
}

/** Failures that every further file would share. */
const hopeless = new Set<ErrorCode>(['NO_TRACKER_UP', 'UNREG_DOMAIN', 'UNREG_CLASS']);

/**
 * `sources` are paths, or `-` and the key for standard input. What is asked for is checked before
 * the first byte is stored.
 * @throws BAD_ARGS; the error of a single file; FAILURE when some of several failed.
 */
export async function putCommand(
  client: Client,
  sources: readonly string[],
  options: PutCommandOptions,
): Promise<void> {
  const { uploads, left } = await planUploads(sources, options);
  const single = uploads.length === 1 && left === 0;
  const total = sum(uploads.map(({ bytes }) => bytes));
  const label = (single ? uploads[0]?.key : undefined) ?? `${uploads.length} files`;
  const progress = createProgress({ label, unit: 'bytes', total, json: options.json });
  let failed = left;
  let storedBytes = 0;
  try {
    await inParallel(uploads, { concurrency: options.jobs }, async (upload) => {
      try {
        const { fid, bytes } = await putOne(client, upload, { ...options, progress });
        storedBytes += bytes;
        if (options.json) printJson({ key: upload.key, fid, bytes });
        else if (single) printLine(`${shownKey(upload.key)}  ${formatBytes(bytes)}  fid ${fid}`);
      } catch (error) {
        if (single || (error instanceof OmgfsError && hopeless.has(error.code))) throw error;
        failed += 1;
        printError(error, options);
      }
    });
  } finally {
    progress.stop();
  }
  if (failed > 0) throw someFailed(failed, uploads.length + left);
  if (!options.json && !single) printLine(`${uploads.length} files, ${formatBytes(storedBytes)}`);
}

function putOne(
  client: Client,
  { key, source }: Upload,
  options: PutCommandOptions & { progress: Progress },
): Promise<StoredFile> {
  let seen = 0;
  const request: PutOptions = {
    ...(options.class === undefined ? {} : { class: options.class }),
    onProgress: (bytes) => {
      options.progress.add({ bytes: bytes - seen });
      seen = bytes;
    },
  };
  return about('cannot store', key, client.put(key, source, request));
}

async function planUploads(sources: readonly string[], options: PutCommandOptions): Promise<Plan> {
  const { key, prefix = '' } = options;
  if (sources.includes('-')) return { uploads: [standardInput(sources, options)], left: 0 };
  if (key !== undefined && (sources.length > 1 || options.recursive || prefix !== '')) {
    throw refused('--key names a single file; use --prefix for several');
  }
  const uploads: Upload[] = [];
  let left = 0;
  const pathOf = new Map<string, string>();
  const plan = (name: string, { path, bytes }: { path: string; bytes: number }) => {
    const wanted = key ?? prefix + name;
    const other = pathOf.get(wanted);
    if (other !== undefined) {
      throw refused(`${other} and ${path} would both become '${wanted}'; store them one by one`);
    }
    pathOf.set(wanted, path);
    uploads.push({ key: wanted, source: { file: path }, bytes });
  };
  for (const path of sources) {
    const stats = await stat(path).catch((cause: Error) => {
      const hint = sources.length > 1 ? '; a key is named with --key KEY' : '';
      throw refused(`cannot read ${path}: ${cause.message}${hint}`);
    });
    if (!stats.isDirectory()) plan(basename(path), { path, bytes: stats.size });
    else if (options.recursive) {
      const tree = await walkTree(path);
      left += printLeft(tree, options);
      for (const file of tree.files) plan(file.name, file);
    } else throw refused(`${path} is a directory; store all files below it with --recursive`);
  }
  return { uploads, left };
}

function standardInput(sources: readonly string[], options: PutCommandOptions): Upload {
  const [dash, key] = sources;
  const others = options.key ?? options.prefix;
  if (dash !== '-' || key === undefined || sources.length > 2 || others !== undefined) {
    throw refused("standard input needs one key behind it: 'omgfs put - KEY'");
  }
  return { key, source: process.stdin, bytes: undefined };
}

function refused(message: string): OmgfsError {
  return new OmgfsError('BAD_ARGS', { message });
}

/** Undefined when one of them is. */
function sum(numbers: readonly (number | undefined)[]): number | undefined {
  return numbers.reduce((so, number) => {
    return so === undefined || number === undefined ? undefined : so + number;
  }, 0);
}
