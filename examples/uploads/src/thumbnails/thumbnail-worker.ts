/**
 * A thread that makes thumbnails: decoding a photograph takes a second of processor time, in which
 * the thread that answers requests could do nothing else. It refuses pictures whose pixels would
 * fill the memory, which a file of a few bytes can announce.
 */
import { parentPort } from 'node:worker_threads';
import { Jimp } from 'jimp';

const side = 320;
const pixelsMax = 50_000_000;
const decoderMegabytesMax = 1024;

async function make(bytes: Buffer): Promise<Buffer> {
  if (announcedPixels(bytes) > pixelsMax) throw new Error('it has too many pixels');
  const limits = { maxResolutionInMP: pixelsMax / 1e6, maxMemoryUsageInMB: decoderMegabytesMax };
  const picture = await Jimp.fromBuffer(bytes, { 'image/jpeg': limits });
  picture.scaleToFit({ w: side, h: side });
  // JPEG knows no transparency.
  const paper = new Jimp({ width: picture.width, height: picture.height, color: 0xffffffff });
  return paper.composite(picture).getBuffer('image/jpeg', { quality: 80 });
}

/** Of PNG and GIF; the decoder of JPEG counts by itself. */
function announcedPixels(bytes: Buffer): number {
  if (bytes.length < 24) throw new Error('it is too short');
  if (bytes.toString('latin1', 1, 4) === 'PNG')
    return bytes.readUInt32BE(16) * bytes.readUInt32BE(20);
  if (bytes.toString('latin1', 0, 3) === 'GIF')
    return bytes.readUInt16LE(6) * bytes.readUInt16LE(8);
  if (bytes.readUInt16BE(0) === 0xffd8) return 0;
  throw new Error('it is no JPEG, PNG or GIF');
}

parentPort?.on('message', (bytes: Uint8Array) => {
  make(Buffer.from(bytes)).then(
    (thumbnail) => parentPort?.postMessage({ thumbnail }),
    (error: unknown) => parentPort?.postMessage({ reason: String(error) }),
  );
});
