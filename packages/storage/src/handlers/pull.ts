/**
 * Node-to-node copy: a POST that names a replica on another node makes this node fetch it, so that
 * the bytes do not pass through a tracker. Length and checksum are checked before the file is
 * placed; the answer says the checksum. While it lasts, interim answers show progress.
 */
import { createHash, type Hash } from 'node:crypto';
import type { Stats } from 'node:fs';
import {
  type Checksum,
  formatChecksum,
  type HashType,
  hashTypes,
  OmgfsError,
  parseChecksum,
  pullHeaders,
} from '@omgfs/protocol';
import { type AccessRules, mayPullFrom } from '../access/access.ts';
import type { Buffers } from '../device/buffers.ts';
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import { statNow, writeFully } from '../device/files.ts';
import { DiskWatch } from '../device/io/disk-watch.ts';
import type { Claim } from '../device/space.ts';
import { storeFile, storeWhole } from '../device/writer.ts';
import { parseWriteTarget } from '../http/path.ts';
import { type StreamExchange, sendHead, showProgress } from '../http/reply.ts';
import type { Log } from '../log.ts';
import { type Order, openSource, reasonOf, SourceFailure, type WholeFile } from './pull-source.ts';

export interface PullContext {
  devices: Devices;
  buffers: Buffers;
  log: Log;
  access: AccessRules;
  /** Without progress for so long the other node is given up, and so is a disk of this one. */
  stallMs: number;
}

/** Kept in memory until it is whole; those of a batch are at work at once. */
const wholeBytesMax = 128 * 1024;
const sourcePath = /^\/dev[1-9]\d*\/[\w./-]+$/;

/**
 * Answers 201 when the file is stored, 502 with the reason when the source failed.
 * @throws BAD_REQUEST, PULL_REFUSED, and what a PUT throws.
 */
export async function handlePull(context: PullContext, exchange: StreamExchange): Promise<void> {
  const { req, res, target } = exchange;
  const { devid, name, directory } = parseWriteTarget(target);
  const text = (header: string) => String(req.headers[header] ?? '');
  const order = orderOf({
    source: text(pullHeaders.source),
    length: text(pullHeaders.length),
    checksum: text(pullHeaders.checksum),
    hash: text(pullHeaders.hash),
  });
  if (name === '' || directory || order === undefined) {
    throw new OmgfsError('BAD_REQUEST', { message: 'A pull names a file, a source and a length.' });
  }
  checkSource(context.access, order);
  const endProgress = showProgress(exchange, context.stallMs);
  // Whoever asked has chosen another way meanwhile, or given the file up: nothing would ever
  // delete a file that is stored without its row.
  const gone = new AbortController();
  res.once('close', () => gone.abort(new Error('nobody waits for the answer')));
  try {
    const checksum = await storePull(context, order, { devid, name, gone: gone.signal });
    context.log.info(
      { devid, name, source: order.source.host, bytes: order.length },
      'file.pulled',
    );
    const sum = checksum && { [pullHeaders.checksum]: formatChecksum(checksum) };
    sendHead(res, 201, { 'Content-Length': 0, ...sum });
    res.end();
  } catch (error) {
    if (!(error instanceof SourceFailure)) throw error;
    const text = Buffer.from(error.message);
    sendHead(res, 502, { 'Content-Type': 'text/plain', 'Content-Length': text.length });
    res.end(text);
  } finally {
    endProgress();
  }
}

/** To be called before anything is fetched. @throws PULL_REFUSED unless this node may. */
export function checkSource(access: AccessRules, { source }: Order): void {
  const host = source.hostname.replace(/^\[(.*)\]$/, '$1');
  if (!mayPullFrom(access, host)) throw new OmgfsError('PULL_REFUSED');
}

export interface PullTarget {
  devid: number;
  name: string;
  gone: AbortSignal;
  /** The file, if it is here already; it is given back. */
  fetched?: WholeFile;
}

/**
 * Carries out an order whose source was checked, unless `gone` fires before the file is placed.
 * @returns the checksum, if one was asked for.
 * @throws SourceFailure, and what a PUT throws.
 */
export async function storePull(
  context: PullContext,
  order: Order,
  { devid, name, gone, fetched }: PullTarget,
): Promise<Checksum | undefined> {
  const { device, claim } = await admit(context, order, devid).catch((error: unknown) => {
    fetched?.give();
    throw error;
  });
  const disk = new DiskWatch({ stallMs: context.stallMs, bytes: order.length });
  const write = { device, name, claim, gone, disk };
  // On a disk that hangs it outlives its answer: nothing can end the call that is under way.
  const writing =
    fetched === undefined
      ? pullUntil(disk.hanging, context, order, write)
      : storeFetched(order, fetched.bytes, write).finally(fetched.give);
  writing.finally(() => claim.release()).catch(() => {});
  try {
    return await Promise.race([writing, disk.hanging]);
  } finally {
    disk.rest();
  }
}

/** Fetches and stores, and gives up when this node's disk has been given up. */
async function pullUntil(
  hanging: Promise<never>,
  context: PullContext,
  order: Order,
  write: Write,
): Promise<Checksum | undefined> {
  const { gone } = write;
  const givenUp = new AbortController();
  const stop = () => givenUp.abort(gone.reason);
  gone.addEventListener('abort', stop, { once: true });
  if (gone.aborted) stop();
  hanging.catch((error: unknown) => givenUp.abort(error));
  try {
    return await pull(context, order, { ...write, gone: givenUp.signal });
  } finally {
    gone.removeEventListener('abort', stop);
  }
}

/** @throws NO_DEVICE, DEVICE_REFUSED, DEVICE_FULL. */
async function admit({ devices }: PullContext, order: Order, devid: number) {
  const device = devices.findReady(devid) ?? (await devices.find(devid));
  device.assertWritable();
  if (!device.space.fits(order.length)) await device.look();
  return { device, claim: device.space.claim(order.length, { exempt: false }) };
}

interface Write {
  device: Device;
  name: string;
  claim: Claim;
  gone: AbortSignal;
  disk: DiskWatch;
}

/** What comes from a source: accounted for, and compared with the order. */
class Check {
  readonly #order: Order;
  readonly #write: Write;
  readonly #type: HashType | undefined;
  readonly #hash: Hash | undefined;
  #bytes = 0;

  constructor(order: Order, write: Write) {
    this.#order = order;
    this.#write = write;
    this.#type = order.expected?.type ?? order.hash;
    this.#hash = this.#type && createHash(hashTypes[this.#type].algorithm);
  }

  /** @throws DEVICE_FULL. */
  take(chunk: Buffer): void {
    this.#bytes += chunk.length;
    this.#write.claim.use(chunk.length);
    this.#hash?.update(chunk);
  }

  /** After the last chunk. @returns the checksum. @throws SourceFailure. */
  verify(): Checksum | undefined {
    const { length, expected } = this.#order;
    if (this.#bytes !== length) {
      throw new SourceFailure(`sent ${this.#bytes} bytes instead of ${length}`);
    }
    const type = this.#type;
    const checksum = type && this.#hash && { type, hex: this.#hash.digest('hex') };
    if (expected !== undefined && checksum?.hex !== expected.hex) {
      throw new SourceFailure(`has ${type} ${checksum?.hex} instead of ${expected.hex}`);
    }
    const { gone } = this.#write;
    if (gone.aborted) throw new SourceFailure(reasonOf(gone.reason));
    return checksum;
  }
}

async function storeFetched(
  order: Order,
  bytes: Buffer,
  write: Write,
): Promise<Checksum | undefined> {
  const check = new Check(order, write);
  check.take(bytes);
  const checksum = check.verify();
  write.disk.work();
  const isWanted = () => stillWanted(write);
  await storeWhole(write.device, write.name, bytes, { isWanted });
  return checksum;
}

/** Stores the source's bytes. @returns their checksum, if one was asked for. */
async function pull(
  { stallMs }: PullContext,
  order: Order,
  write: Write,
): Promise<Checksum | undefined> {
  const { device, name, gone, disk } = write;
  const body = await openSource(order, { stallMs, gone });
  const check = new Check(order, write);
  let checksum: Checksum | undefined;
  let stats: Stats | undefined;
  try {
    disk.work();
    if (order.length <= wholeBytesMax) {
      const chunks: Buffer[] = [];
      for await (const chunk of upTo(order.length, body, disk)) chunks.push(chunk);
      return await storeFetched(order, Buffer.concat(chunks), write);
    }
    const fill = async (fd: number) => {
      for await (const chunk of upTo(order.length, body, disk)) {
        check.take(chunk);
        await device.run(() => writeFully(fd, chunk));
      }
      checksum = check.verify();
      stats = statNow(fd);
    };
    await storeFile(device, name, fill, { isWanted: () => stillWanted(write) });
    // For small ones it would cost as much as the copy; the scrub makes up for it.
    keepDigest(device, name, { stats, checksum });
  } finally {
    body.on('error', () => {}).destroy();
  }
  return checksum;
}

/** A file that is not waited for any more has no row, and nothing would ever delete it. */
function stillWanted({ disk, gone }: Write): boolean {
  return !disk.gaveUp && !gone.aborted;
}

function keepDigest(
  device: Device,
  name: string,
  { stats, checksum }: { stats: Stats | undefined; checksum: Checksum | undefined },
): void {
  if (stats === undefined || checksum === undefined) return;
  const { algorithm } = hashTypes[checksum.type];
  device.digests.record(name, stats, { [algorithm]: checksum.hex });
}

/** Ends at the first chunk that goes beyond so many bytes. @throws SourceFailure. */
async function* upTo(
  length: number,
  body: AsyncIterable<Buffer>,
  disk: DiskWatch,
): AsyncGenerator<Buffer> {
  let bytes = 0;
  try {
    disk.rest();
    for await (const chunk of body) {
      disk.work();
      yield chunk;
      bytes += chunk.length;
      if (bytes > length) return;
      disk.rest();
    }
    disk.work();
  } catch (error) {
    throw new SourceFailure(reasonOf(error));
  }
}

/** @returns undefined when it is not one that may be carried out. */
export function orderOf(words: {
  source: string;
  length: string;
  checksum: string;
  hash: string;
}): Order | undefined {
  const { length, checksum, hash } = words;
  const source = urlOf(words.source);
  if (source?.protocol !== 'http:' || !sourcePath.test(source.pathname)) return undefined;
  if (!/^\d{1,15}$/.test(length)) return undefined;
  const known = Object.hasOwn(hashTypes, hash);
  return {
    source,
    length: Number(length),
    expected: parseChecksum(checksum),
    hash: known ? (hash as HashType) : undefined,
  };
}

function urlOf(text: string): URL | undefined {
  try {
    return new URL(text);
  } catch {
    return undefined;
  }
}
