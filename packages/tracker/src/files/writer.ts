/**
 * From `create_open` to whatever closes it: bytes on storage nodes that nobody sees yet. What fails
 * on the way is given up at once, so that its bytes go away; a write that takes its time is
 * renewed, so that it is not taken for abandoned.
 */
import { type DigestCheck, OmgfsError, type ReplyFields, valuesOf } from '@omgfs/protocol';
import type { Dispatcher } from 'undici';
import { FanOut } from './fan-out.ts';
import type { argumentsOf, FilePlace } from './file-facts.ts';
import { Measure } from './measure.ts';
import type { PutTarget } from './put-stream.ts';

/** Runs a command as this tracker. */
export type Run = (
  command: string,
  args: Parameters<typeof argumentsOf>[0],
) => Promise<ReplyFields>;

export interface WriteOptions {
  /** Byte string; empty or undefined for the default class. */
  class?: string | undefined;
  length?: number | undefined;
  bytesMax?: number | undefined;
  /** Devices that shall get it; as many as the class wants, but two at most, by default. */
  copies?: number | undefined;
  digests?: DigestCheck | undefined;
}

export interface Written {
  fid: number;
  /** Those that have stored it, at least one. */
  stored: readonly PutTarget[];
  /** Devices that may have it, too, without having said so. */
  left: readonly string[];
  bytes: number;
  checksum: Measure['checksum'];
}

/** A transfer that makes no progress for so long is given up. */
const stallMs = 45_000;
/** Then the loss of a node is survived; further copies can be made later. */
const copiesDefaultMax = 2;
/** An open upload counts as abandoned after an hour. */
const renewEveryMs = 10 * 60_000;

/**
 * Writes a body and hands it to `close`; when either fails, the upload is given up.
 * @throws NO_DEVICES, DEVICE_DOWN, DEVICE_FULL, SIZE_MISMATCH, BAD_DIGEST, BODY_TOO_LARGE; what
 * `body` and `close` throw.
 */
export async function writeUpload<T>(
  { run, agent }: { run: Run; agent: Dispatcher },
  upload: { place: FilePlace; body: AsyncIterable<Uint8Array>; options: WriteOptions },
  close: (written: Written) => Promise<T>,
): Promise<T> {
  const { place, body, options } = upload;
  const { length } = options;
  const opened = await run('create_open', {
    ...{ ...place, class: options.class, size: length, multi_dest: 1, want_class: 1 },
  });
  const targets = targetsOf(opened);
  const copies = options.copies ?? Math.min(copiesDefaultMax, Number(opened.mindevcount));
  const fid = Number(opened.fid);
  const renewal = setInterval(() => {
    run('renew_upload', { fid }).catch(() => {});
  }, renewEveryMs);
  try {
    const measure = new Measure({ ...options, hashtype: opened.hashtype });
    const fan = new FanOut({
      ...{ agent, targets, copies, length, stallMs },
      onBytes: (chunk) => measure.add(chunk),
      verify: () => measure.verify(),
    });
    const stored = await fan.write(body);
    const { bytes, checksum } = measure;
    return await close({ fid, stored, left: fan.left, bytes, checksum });
  } catch (error) {
    await abandon(run, { domain: place.domain, fid, targets });
    throw error;
  } finally {
    clearInterval(renewal);
  }
}

/** Lets the bytes go away at once; failing that, they do so in an hour. */
async function abandon(
  run: Run,
  { domain, fid, targets }: { domain: string; fid: number; targets: readonly PutTarget[] },
): Promise<void> {
  const [first] = targets;
  if (first === undefined) return;
  const { devid, url: path } = first;
  await run('create_close', { domain, key: '', fid, devid, path }).catch(() => {});
}

function targetsOf(opened: ReplyFields): PutTarget[] {
  const total = opened.dev_count ?? 0;
  const devids = valuesOf(opened, { prefix: 'devid_', total });
  const targets = valuesOf(opened, { prefix: 'path_', total }).flatMap((url, at) =>
    typeof url === 'string' ? [{ devid: String(devids[at]), url }] : [],
  );
  if (targets.length > 0) return targets;
  throw new OmgfsError('NO_DEVICES');
}
