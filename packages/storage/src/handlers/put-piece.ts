/**
 * PUT with `Content-Range`. With a total length the pieces are kept out of sight, in order, until
 * the last of them makes the file appear whole (I3); a client that was cut asks how much is there
 * and goes on. Without one (`a-b/*`) the file grows in its place, as the large-file mode of the
 * Perl client needs it: that has no other way to say that it is done than to close the upload at
 * the tracker, so nobody reads the file before.
 */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import { checkCoding, type DigestCheck, digestCheckOf, OmgfsError } from '@omgfs/protocol';
import { discard } from '../device/buffers.ts';
import type { Device } from '../device/device.ts';
import { parentOf } from '../device/directories.ts';
import {
  closeNow,
  errnoOf,
  ftruncate,
  lstat,
  openAt,
  openForRead,
  readFully,
  rename,
  statNow,
  unlink,
  writeAtomically,
  writeFullyAt,
} from '../device/files.ts';
import type { Claim } from '../device/space.ts';
import { type StreamExchange, sendEmpty } from '../http/reply.ts';
import { type Piece, parseContentRange } from '../pieces/content-range.ts';
import type { Pieces } from '../pieces/pieces.ts';

const chunkBytes = 256 * 1024;

interface Upload {
  exchange: StreamExchange;
  pieces: Pieces;
  device: Device;
  name: string;
}

/**
 * Answers 308 with `Range` while bytes are missing (also to `bytes *` + `/total` without a body),
 * 416 with `Range` to a piece that does not begin where the others end, 200 or 201 at the end.
 * @throws BAD_REQUEST, BAD_DIGEST, DEVICE_FULL, PATH_CONFLICT, errors of the system.
 */
export async function handlePiece(upload: Upload): Promise<void> {
  const { req } = upload.exchange;
  const piece = parseContentRange(String(req.headers['content-range']));
  if (piece === undefined) {
    throw malformed('Content-Range is bytes a-b/total, a-b/* or */total, with a <= b < total');
  }
  checkLength(req, piece);
  await upload.device.directories.ensure(parentOf(upload.name));
  if (piece.kind === 'question') return answerHeld(upload, piece.total);
  if (piece.kind === 'open') return growFile(upload, piece);
  const path = await upload.pieces.pathOf(upload.device, { name: upload.name, ...piece });
  const leave = () => req.socket.destroy();
  await upload.pieces.alone(path, leave, () => addPiece(upload, { path, ...piece }));
}

/** @throws BAD_REQUEST when the body is announced to be longer or shorter than the range. */
function checkLength({ headers }: IncomingMessage, piece: Piece): void {
  checkCoding(headers);
  const bytes = piece.kind === 'question' ? 0 : piece.end - piece.start + 1;
  const announced = headers['content-length'];
  if (announced === undefined) {
    if (headers['transfer-encoding'] !== undefined && bytes > 0) return;
    if (headers['transfer-encoding'] === undefined && bytes === 0) return;
  } else if (Number(announced) === bytes) return;
  throw malformed(`the body must have the ${bytes} bytes of the range`);
}

async function answerHeld({ exchange, pieces, device, name }: Upload, total: number) {
  const path = await pieces.pathOf(device, { name, total });
  sendEmpty(exchange.res, 308, heldHeader(await sizeOf(device, path)));
}

async function addPiece(
  upload: Upload,
  piece: { path: string; start: number; end: number; total: number },
): Promise<void> {
  const { exchange, device, name } = upload;
  const { path, start, end, total } = piece;
  const held = await sizeOf(device, path);
  // One that begins at 0 begins anew: its client knows of nothing that is there.
  if (start !== 0 && start !== held) throw refusal(exchange, held);
  if (!device.space.fits(total - start)) await device.look();
  const claim = device.space.claim(total - start, { exempt: false });
  const fd = await device.run(() => openAt(path, { truncate: start === 0 }));
  try {
    await receive(upload, { fd, start, end, claim });
    await device.sync?.(fd);
  } finally {
    claim.release();
    closeNow(fd);
  }
  if (end + 1 < total) return sendEmpty(exchange.res, 308, heldHeader(end + 1));
  const check = digestCheckOf(onlyOf(exchange.req.headers, ['repr-digest', 'want-repr-digest']));
  await finish(device, { path, name, check });
  sendEmpty(exchange.res, check?.checks ? 201 : 200);
}

/** Appends a body. What came before a cut stays, unless its digest can no longer be checked. */
async function receive(
  { exchange: { req, res }, device }: Upload,
  { fd, start, end, claim }: { fd: number; start: number; end: number; claim: Claim },
): Promise<void> {
  const check = digestCheckOf(onlyOf(req.headers, ['content-md5', 'content-digest']));
  if (req.headers.expect !== undefined) res.writeContinue();
  let at = start;
  try {
    for await (const chunk of bodyOf(req)) {
      if (at + chunk.length > end + 1) throw malformed('the body is longer than the range');
      claim.use(chunk.length);
      check?.update(chunk);
      const position = at;
      await device.run(() => writeFullyAt(fd, chunk, position));
      at += chunk.length;
      discard(chunk);
    }
    if (at !== end + 1) throw malformed('the body is shorter than the range');
    check?.verify();
  } catch (error) {
    const isCut = !(error instanceof OmgfsError);
    if (!isCut || check?.checks) await device.run(() => ftruncate(fd, start));
    throw error;
  }
}

/** Makes the file appear; one whose digest is another than announced is gone afterwards. */
async function finish(
  device: Device,
  { path, name, check }: { path: string; name: string; check: DigestCheck | undefined },
): Promise<void> {
  const { run, directories } = device;
  const { fd, stats } = await run(() => openForRead(path));
  try {
    const buffer = Buffer.allocUnsafe(chunkBytes);
    for (let at = 0; check !== undefined && at < stats.size; ) {
      const position = at;
      const bytes = await run(() => readFully(fd, buffer, position));
      if (bytes === 0) break;
      check.update(buffer.subarray(0, bytes));
      at += bytes;
    }
    const digests = check?.verify();
    await run(() => rename(path, `${device.root}/${name}`));
    await directories.sync(parentOf(name));
    if (digests !== undefined) device.digests.record(name, statNow(fd), digests);
  } catch (error) {
    if (error instanceof OmgfsError) await run(() => unlink(path));
    throw error;
  } finally {
    closeNow(fd);
  }
}

/** A piece of a file without an end: received whole beside it, then written into its place. */
async function growFile(upload: Upload, { start, end }: { start: number; end: number }) {
  const { exchange, pieces, device, name } = upload;
  const target = `${device.root}/${name}`;
  const leave = () => exchange.req.socket.destroy();
  await pieces.alone(target, leave, async () => {
    const held = await sizeOf(device, target);
    if (start > held) throw refusal(exchange, held);
    if (!device.space.fits(end - start + 1)) await device.look();
    const claim = device.space.claim(end - start + 1, { exempt: false });
    const temp = device.tempPath();
    try {
      await writeAtomically({
        temp,
        sync: undefined,
        run: device.run,
        fill: (fd) => receive(upload, { fd, start: 0, end: end - start, claim }),
        place: () => writeInto(device, { temp, target, start }),
      });
      await device.directories.sync(parentOf(name));
    } finally {
      claim.release();
    }
    sendEmpty(exchange.res, 200);
  });
}

async function writeInto(
  device: Device,
  { temp, target, start }: { temp: string; target: string; start: number },
): Promise<void> {
  const { run } = device;
  const source = await run(() => openForRead(temp));
  try {
    const fd = await run(() => openAt(target, { truncate: false }));
    try {
      const buffer = Buffer.allocUnsafe(chunkBytes);
      for (let at = 0; at < source.stats.size; ) {
        const position = at;
        const bytes = await run(() => readFully(source.fd, buffer, position));
        await run(() => writeFullyAt(fd, buffer.subarray(0, bytes), start + position));
        at += bytes;
      }
      await device.sync?.(fd);
    } finally {
      closeNow(fd);
    }
    await run(() => unlink(temp));
  } finally {
    closeNow(source.fd);
  }
}

async function sizeOf(device: Device, path: string): Promise<number> {
  try {
    return (await device.run(() => lstat(path))).size;
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return 0;
    throw error;
  }
}

/** What resuming clients look at; without a byte there is no range to tell. */
function heldHeader(bytes: number): Record<string, string> {
  return bytes === 0 ? {} : { Range: `bytes=0-${bytes - 1}` };
}

function refusal({ res }: StreamExchange, held: number): OmgfsError {
  for (const [name, value] of Object.entries(heldHeader(held))) res.setHeader(name, value);
  return new OmgfsError('RANGE_NOT_SATISFIABLE', {
    message: `The piece does not begin at byte ${held}, where the others end.`,
  });
}

function onlyOf(headers: IncomingHttpHeaders, names: readonly string[]): IncomingHttpHeaders {
  return Object.fromEntries(names.map((name) => [name, headers[name]]));
}

function bodyOf(req: IncomingMessage): AsyncIterable<Buffer> {
  return req.iterator({ destroyOnReturn: false });
}

function malformed(why: string): OmgfsError {
  return new OmgfsError('BAD_REQUEST', { message: `This piece is not taken: ${why}.` });
}
