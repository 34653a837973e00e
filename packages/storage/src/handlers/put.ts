/**
 * PUT of a file: everything that can be refused is refused before the first byte is read; then the
 * body is checked while it is stored, and answered for when it is durable (I1, I3).
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import {
  announcedLength,
  type DigestCheck,
  type Digests,
  digestCheckOf,
  digestField,
  OmgfsError,
  wantedAlgorithm,
} from '@omgfs/protocol';
import { type Buffers, discard } from '../device/buffers.ts';
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import { statNow, writeFully } from '../device/files.ts';
import type { Stamp } from '../device/io/file-thread.ts';
import type { Claim } from '../device/space.ts';
import { storeFile, storeNow, storeWhole } from '../device/writer.ts';
import type { NowPut } from '../http/front.ts';
import { parseWriteTarget, plainPlace, type WriteTarget } from '../http/path.ts';
import { headEnd, headStart } from '../http/plain-head.ts';
import {
  type RequestHead,
  type StreamExchange,
  sendEmpty,
  serverHeader,
  type WholeExchange,
} from '../http/reply.ts';
import type { Pieces } from '../pieces/pieces.ts';
import { handlePiece } from './put-piece.ts';

export interface PutContext {
  devices: Devices;
  buffers: Buffers;
  pieces: Pieces;
  /** Names may be any text. */
  anyName: boolean;
}

/** Bodies up to this length are collected and written with one call. */
const wholeBytesMax = 256 * 1024;

/** The trackers' write test: without it they would not even delete from a full device. */
const writeTest = /^test-write\/[^/]+$/;
const writeTestBytesMax = 4096;

/**
 * Stores the body and answers 201 when a digest was checked, else 200, as the original does.
 * @throws INVALID_PATH, PATH_FORBIDDEN, PATH_CONFLICT, NO_DEVICE, DEVICE_REFUSED, DEVICE_FULL,
 * BAD_REQUEST, BAD_DIGEST, errors of the system; nothing is left in any of these cases.
 */
export async function handlePut(context: PutContext, exchange: StreamExchange | WholeExchange) {
  const { req, res, target } = exchange;
  const place = parseWriteTarget(target, context);
  if (place.name === '' || place.directory) {
    throw new OmgfsError('INVALID_PATH', { message: 'The path names a directory, not a file.' });
  }
  // RFC 9110 §14.5: a part must never be taken for the whole.
  if (req.headers['content-range'] !== undefined && !('body' in exchange)) {
    const device = await context.devices.find(place.devid);
    device.assertWritable();
    return handlePiece({ exchange, pieces: context.pieces, device, name: place.name });
  }
  const length = announcedLength(req.headers);
  const digest = digestCheckOf(req.headers);
  const device = await context.devices.find(place.devid);
  device.assertWritable();
  const claim = await claimSpace(device, place, length);
  let digests: Digests | undefined;
  try {
    const upload = { device, name: place.name, digest, claim };
    if ('body' in exchange) digests = await storeBody(upload, exchange.body);
    else digests = await receive(context.buffers, exchange, { ...upload, length });
  } finally {
    claim.release();
  }
  device.hotFiles.fresh.add(place.name);
  sendEmpty(res, digest?.checks ? 201 : 200, reprDigest(req, digests));
}

interface Upload {
  device: Device;
  name: string;
  digest: DigestCheck | undefined;
  claim: Claim;
}

/** The digest that the writer asked for, which is kept with the file too. */
function reprDigest({ headers }: RequestHead, digests: Digests | undefined) {
  const algorithm = wantedAlgorithm(headers['want-repr-digest']);
  const hex = digests?.[algorithm ?? ''];
  if (algorithm === undefined || hex === undefined) return {};
  return { 'Repr-Digest': digestField(algorithm, hex) };
}

/** Stores a body that is on its way: in one piece if it is small, else as it comes. */
async function receive(
  buffers: Buffers,
  { req, res }: StreamExchange,
  { length, ...upload }: Upload & { length: number | undefined },
): Promise<Digests | undefined> {
  if (req.headers.expect !== undefined) res.writeContinue();
  if (length === undefined || length > wholeBytesMax || !buffers.claim(length)) {
    return storeStream(upload, req);
  }
  try {
    return await storeBody(upload, await collect(req, length));
  } finally {
    buffers.release(length);
  }
}

async function storeBody({ device, name, digest, claim }: Upload, body: Buffer) {
  digest?.update(body);
  const digests = digest?.verify();
  claim.use(body.length);
  const stamp = await storeWhole(device, name, body, { stamped: digests !== undefined });
  keepDigests({ device, name, stamp, digests });
  return digests;
}

async function storeStream({ device, name, digest, claim }: Upload, req: IncomingMessage) {
  let digests: Digests | undefined;
  let stamp: Stamp | undefined;
  await storeFile(device, name, async (fd) => {
    // The socket must survive a failure in here, because it carries the answer. Collecting several
    // chunks for one write saves less than a tenth of the CPU time (2026-11).
    for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
      claim.use(chunk.length);
      digest?.update(chunk);
      await device.run(() => writeFully(fd, chunk));
      discard(chunk);
    }
    // node:http ends a body that was cut with an error; this is the second pair of eyes.
    if (!req.complete) throw cut();
    digests = digest?.verify();
    if (digests !== undefined) stamp = statNow(fd);
  });
  keepDigests({ device, name, stamp, digests });
  return digests;
}

function keepDigests(kept: {
  device: Device;
  name: string;
  stamp: Stamp | undefined;
  digests: Digests | undefined;
}): void {
  const { device, name, stamp, digests } = kept;
  if (digests !== undefined && stamp !== undefined) device.digests.record(name, stamp, digests);
}

/** The body of a request of known length, in one buffer. @throws Error when it was cut. */
function collect(req: IncomingMessage, length: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    let body: Buffer | undefined;
    let received = 0;
    const onClose = () => reject(cut());
    req.on('data', (chunk: Buffer) => {
      if (received === 0 && chunk.length === length) {
        // Nearly always: it came in one piece and needs no copy.
        body = chunk;
      } else {
        // One buffer instead of many small ones that each keep a larger one alive.
        body ??= Buffer.allocUnsafeSlow(length);
        chunk.copy(body, received);
      }
      received += chunk.length;
    });
    req.once('end', () => {
      req.off('close', onClose);
      if (received === length) resolve(body ?? Buffer.alloc(0));
      else reject(cut());
    });
    req.once('error', reject);
    req.once('close', onClose);
  });
}

function cut(): Error {
  return new Error('the upload was cut');
}

async function claimSpace(
  device: Device,
  { name }: WriteTarget,
  length: number | undefined,
): Promise<Claim> {
  const exempt = writeTest.test(name) && length !== undefined && length <= writeTestBytesMax;
  const bytes = length ?? 0;
  // Something may have been deleted since the last look.
  if (!exempt && !device.space.fits(bytes)) await device.look();
  return device.space.claim(bytes, { exempt });
}

/**
 * PUTs of small files to a busy device that syncs nothing, without a wait before its thread has
 * them and without anything else that can be left out. What is not certain to be of this kind goes
 * the way above, and so does what the thread fails at.
 * @param done is called later; with the answer, or without one when the ordinary way has to do it.
 */
export function putNow(
  { devices }: { devices: Devices },
  { head: { method, target, headers }, body }: NowPut,
  done: (answer: Buffer | undefined) => void,
): boolean {
  const place = method === 'PUT' && !asksForMore(headers) ? plainPlace(target) : undefined;
  const device = place === undefined ? undefined : devices.findReady(place.devid);
  if (device === undefined || place === undefined) return false;
  const { name } = place;
  return storeNow(device, name, body, (stored) => {
    if (stored) device.hotFiles.fresh.add(name);
    done(stored ? storedAnswer() : undefined);
  });
}

/** Whether there is something to check, or to say in the answer. */
function asksForMore(headers: IncomingHttpHeaders): boolean {
  return (
    headers['content-md5'] !== undefined ||
    headers['content-digest'] !== undefined ||
    headers['repr-digest'] !== undefined ||
    headers['want-repr-digest'] !== undefined
  );
}

const start = headStart(200, { ...serverHeader, 'Content-Length': 0 });
let end = '';
let answer = Buffer.alloc(0);

/** Made again when the date in it changes. */
function storedAnswer(): Buffer {
  const now = headEnd();
  if (now !== end) {
    end = now;
    answer = Buffer.from(start + end, 'latin1');
  }
  return answer;
}
