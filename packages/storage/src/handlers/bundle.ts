/**
 * Small files for another node, many in one answer (see the protocol's `bundle`). Each is checked
 * as a GET of it would be, and what is wrong with one is said in its frame. The files of a disk
 * that hangs hold up none of another.
 */
import { askAlone, bundle, writeFrameHead } from '@omgfs/protocol';
import { type AccessRules, checkBundled } from '../access/access.ts';
import type { Buffers } from '../device/buffers.ts';
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import { parentOf } from '../device/directories.ts';
import { toHttpError } from '../device/failures.ts';
import { closeNow, readFully } from '../device/files.ts';
import { DiskWatch } from '../device/io/disk-watch.ts';
import { slotBodyBytesMax } from '../device/io/file-slots.ts';
import { NotDone } from '../device/io/file-thread.ts';
import { Gather } from '../device/io/gather.ts';
import { openFile } from '../device/reader.ts';
import { parseReadTarget } from '../http/path.ts';
import { type Done, flushed, type StreamExchange, sendHead } from '../http/reply.ts';
import { readList, unreadable } from './json-list.ts';

export interface BundleContext {
  devices: Devices;
  buffers: Buffers;
  access: AccessRules;
  /** A disk that has not answered for so long is not waited for. */
  stallMs: number;
}

interface Wanted {
  index: number;
  target: string;
}

/** A frame, and the buffer it is in when that is to be given back. */
interface Frame {
  chunk: Buffer;
  buffer?: Buffer;
}

const limits = {
  itemsMax: bundle.targetsMax,
  bytesMax: bundle.bodyBytesMax,
  what: 'targets',
};
/** Files of one device that are read at once, so that some are there when others have gone out. */
const readersMax = 16;
/** They go out together, for each piece that comes by itself wakes the other node. */
const sentTogether = readersMax / 2;

/** @throws BAD_REQUEST. */
export async function handleBundle(
  context: BundleContext,
  { req, res }: StreamExchange,
): Promise<void> {
  const targets = await readList(req, limits);
  const groups = new Map<string, Wanted[]>();
  for (const [index, target] of targets.entries()) {
    if (typeof target !== 'string') throw unreadable(limits);
    const device = target.slice(0, target.indexOf('/', 1));
    const group = groups.get(device);
    if (group === undefined) groups.set(device, [{ index, target }]);
    else group.push({ index, target });
  }
  sendHead(res, 200, { 'Content-Type': bundle.type });
  // A target that is slow to come is no reason for the client to doubt that others will.
  res.flushHeaders();
  // Each reader looks whether the client is still there.
  res.setMaxListeners(0);
  await Promise.all([...groups.values()].map((group) => sendGroup(context, res, group)));
  res.end();
}

/** Sends the files of one device; when it hangs, the rest is refused at once. */
async function sendGroup(
  context: BundleContext,
  res: StreamExchange['res'],
  group: readonly Wanted[],
): Promise<void> {
  const left = group.values();
  const read = new Gather(sentTogether);
  let hanging: unknown;
  const reader = async () => {
    for (const wanted of left) {
      if (res.destroyed) return;
      const { chunk, buffer } = await read.run(() =>
        frameOf(context, wanted, hanging).catch((error: unknown) => {
          const { code, status } = toHttpError(error);
          if (code === 'DEVICE_BUSY') hanging = error;
          return statusFrame(wanted.index, status);
        }),
      );
      const reusable = await flushed(res, (done) => writeTogether(res, chunk, done));
      if (buffer !== undefined) context.buffers.give(buffer, { reusable });
    }
  };
  await Promise.all(Array.from({ length: readersMax }, reader));
}

/** What is written in one turn goes out with one call. */
function writeTogether(res: StreamExchange['res'], chunk: Buffer, done: Done): void {
  if (res.writableCorked === 0) {
    res.cork();
    process.nextTick(() => res.uncork());
  }
  res.write(chunk, done);
}

/** @throws DEVICE_BUSY when the disk hangs, and what a GET throws. */
async function frameOf(context: BundleContext, wanted: Wanted, hanging: unknown): Promise<Frame> {
  if (hanging !== undefined) throw hanging;
  checkBundled(context.access, wanted.target);
  const disk = new DiskWatch({ stallMs: context.stallMs, bytes: 0 });
  disk.work();
  const reading = readFrame(context, wanted);
  try {
    return await Promise.race([reading, disk.hanging]);
  } catch (error) {
    reading.then(
      ({ buffer }) => buffer && context.buffers.give(buffer, { reusable: true }),
      () => {},
    );
    throw error;
  } finally {
    disk.rest();
  }
}

async function readFrame(context: BundleContext, wanted: Wanted): Promise<Frame> {
  const { devices, buffers } = context;
  const { index, target } = wanted;
  const place = parseReadTarget(target);
  if (place.kind !== 'device') return statusFrame(index, askAlone);
  const device = devices.findReady(place.devid) ?? (await devices.find(place.devid));
  device.assertReadable();
  const byThread = await readByThread(buffers, index, { device, name: place.name });
  if (byThread !== undefined) return byThread;
  const { fd, stats } = await openFile(device, place.name);
  try {
    const { size } = stats;
    if (!stats.isFile() || size > bundle.fileBytesMax) return statusFrame(index, askAlone);
    const buffer = buffers.take(bundle.headBytes + size);
    if (buffer === undefined) return statusFrame(index, askAlone);
    return await inBuffer(buffers, buffer, async () => {
      const into = buffer.subarray(bundle.headBytes, bundle.headBytes + size);
      const bytes = await device.run(() => readFully(fd, into, 0));
      if (bytes < size) throw new Error('the file became shorter while it was read');
      return fileFrame(buffer, { index, bytes });
    });
  } finally {
    closeNow(fd);
  }
}

/** @returns undefined when the thread of the device does not do it. */
async function readByThread(
  buffers: Buffers,
  index: number,
  { device, name }: { device: Device; name: string },
): Promise<Frame | undefined> {
  const path = `${device.root}/${name}`;
  const thread = device.smallFiles.thread(0, path);
  if (thread === undefined) return undefined;
  let buffer: Buffer | undefined;
  try {
    await device.directories.check(parentOf(name));
    buffer = thread.free ? buffers.take(bundle.headBytes + slotBodyBytesMax) : undefined;
  } catch {
    // The other way says what is wrong with it.
  }
  if (buffer === undefined) return undefined;
  const into = buffer;
  try {
    return await inBuffer(buffers, into, async () => {
      const { bytes } = await thread.order({ temp: path, into: into.subarray(bundle.headBytes) });
      return fileFrame(into, { index, bytes });
    });
  } catch (error) {
    if (error instanceof NotDone) return undefined;
    throw error;
  }
}

/** Gives the buffer back when the work with it fails. */
async function inBuffer<T>(buffers: Buffers, buffer: Buffer, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    buffers.give(buffer, { reusable: true });
    throw error;
  }
}

function fileFrame(buffer: Buffer, { index, bytes }: { index: number; bytes: number }): Frame {
  writeFrameHead(buffer, { index, status: 200, bytes });
  return { chunk: buffer.subarray(0, bundle.headBytes + bytes), buffer };
}

function statusFrame(index: number, status: number): Frame {
  const chunk = Buffer.alloc(bundle.headBytes);
  writeFrameHead(chunk, { index, status, bytes: 0 });
  return { chunk };
}
