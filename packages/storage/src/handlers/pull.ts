/**
 * Node-to-node copy: a POST that names a replica on another node makes this node fetch it, so that
 * the bytes do not pass through a tracker. Length and checksum are checked before the file is
 * placed; the answer says the checksum. While it lasts, interim answers show progress.
 */
import { createHash } from 'node:crypto';
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
import { Agent, type Dispatcher } from 'undici';
import { type AccessRules, mayPullFrom } from '../access/access.ts';
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import { statNow, writeFully } from '../device/files.ts';
import { DiskWatch } from '../device/io/disk-watch.ts';
import type { Claim } from '../device/space.ts';
import { storeFile, storeWhole } from '../device/writer.ts';
import { parseWriteTarget } from '../http/path.ts';
import { type StreamExchange, sendHead } from '../http/reply.ts';
import type { Log } from '../log.ts';

export interface PullContext {
  devices: Devices;
  log: Log;
  access: AccessRules;
  /** Without progress for so long the other node is given up, and so is a disk of this one. */
  stallMs: number;
}

export interface Order {
  source: URL;
  length: number;
  /** What the bytes must be. */
  expected: Checksum | undefined;
  hash: HashType | undefined;
}

/** Kept in memory until it is whole; those of a batch are at work at once. */
const wholeBytesMax = 128 * 1024;
export const progressEveryMs = 5_000;
const connectionsPerNode = 16;
const sourcePath = /^\/dev[1-9]\d*\/[\w./-]+$/;

/** The source failed, not this node: another source may do. */
export class SourceFailure extends Error {}

/** Shared by all pulls of the process: connections to other nodes are kept. */
const agent = new Agent({ connections: connectionsPerNode });

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
  const progress = setInterval(() => res.writeProcessing(), progressEveryMs);
  // Whoever asked has chosen another way meanwhile, or given the file up: nothing would ever
  // delete a file that is stored without its row.
  const gone = new AbortController();
  res.once('close', () => gone.abort(new Error('nobody waits for the answer')));
  try {
    const checksum = await storePull(context, order, { devid, name, gone: gone.signal });
    const sum = checksum && { [pullHeaders.checksum]: formatChecksum(checksum) };
    sendHead(res, 201, { 'Content-Length': 0, ...sum });
    res.end();
  } catch (error) {
    if (!(error instanceof SourceFailure)) throw error;
    const text = Buffer.from(error.message);
    sendHead(res, 502, { 'Content-Type': 'text/plain', 'Content-Length': text.length });
    res.end(text);
  } finally {
    clearInterval(progress);
  }
}

/**
 * Carries out an order, unless `gone` fires before the file is placed.
 * @returns the checksum, if one was asked for.
 * @throws SourceFailure, PULL_REFUSED, and what a PUT throws.
 */
export async function storePull(
  context: PullContext,
  order: Order,
  { devid, name, gone }: { devid: number; name: string; gone: AbortSignal },
): Promise<Checksum | undefined> {
  const { source, length: bytes } = order;
  const host = source.hostname.replace(/^\[(.*)\]$/, '$1');
  if (!mayPullFrom(context.access, host)) throw new OmgfsError('PULL_REFUSED');
  const device = context.devices.findReady(devid) ?? (await context.devices.find(devid));
  device.assertWritable();
  if (!device.space.fits(bytes)) await device.look();
  const claim = device.space.claim(bytes, { exempt: false });
  const disk = new DiskWatch({ stallMs: context.stallMs, bytes });
  const givenUp = new AbortController();
  const signal = AbortSignal.any([gone, givenUp.signal]);
  // On a disk that hangs it outlives its answer: nothing can end the call that is under way.
  const pulling = pull(context, order, { device, name, claim, gone: signal, disk });
  pulling.finally(() => claim.release()).catch(() => {});
  try {
    const checksum = await Promise.race([pulling, disk.hanging]);
    context.log.info({ devid, name, source: source.host, bytes }, 'file.pulled');
    return checksum;
  } catch (error) {
    givenUp.abort(error);
    throw error;
  } finally {
    disk.rest();
  }
}

/** Stores the source's bytes. @returns their checksum, if one was asked for. */
async function pull(
  { stallMs }: PullContext,
  order: Order,
  target: { device: Device; name: string; claim: Claim; gone: AbortSignal; disk: DiskWatch },
): Promise<Checksum | undefined> {
  const { device, name, claim, gone, disk } = target;
  const type = order.expected?.type ?? order.hash;
  const hash = type && createHash(hashTypes[type].algorithm);
  const body = await open(order, { stallMs, gone });
  let checksum: Checksum | undefined;
  let stats: Stats | undefined;
  const take = (chunk: Buffer): void => {
    claim.use(chunk.length);
    hash?.update(chunk);
  };
  const verify = (bytes: number): void => {
    if (bytes !== order.length) {
      throw new SourceFailure(`sent ${bytes} bytes instead of ${order.length}`);
    }
    checksum = type && hash && { type, hex: hash.digest('hex') };
    if (order.expected !== undefined && checksum?.hex !== order.expected.hex) {
      throw new SourceFailure(`has ${type} ${checksum?.hex} instead of ${order.expected.hex}`);
    }
    if (gone.aborted) throw new SourceFailure(reasonOf(gone.reason));
  };
  try {
    disk.work();
    if (order.length <= wholeBytesMax) {
      const chunks: Buffer[] = [];
      for await (const chunk of upTo(order.length, body, disk)) chunks.push(chunk);
      const bytes = Buffer.concat(chunks);
      take(bytes);
      verify(bytes.length);
      await storeWhole(device, name, bytes);
    } else {
      await storeFile(device, name, async (fd) => {
        let bytes = 0;
        for await (const chunk of upTo(order.length, body, disk)) {
          bytes += chunk.length;
          take(chunk);
          await device.run(() => writeFully(fd, chunk));
        }
        verify(bytes);
        stats = statNow(fd);
      });
      // For small ones it would cost as much as the copy; the scrub makes up for it.
      keepDigest(device, name, { stats, checksum });
    }
  } finally {
    body.on('error', () => {}).destroy();
  }
  return checksum;
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

/** Opens the source and looks at its length. @throws SourceFailure. */
async function open(
  { source, length }: Order,
  { stallMs, gone }: { stallMs: number; gone: AbortSignal },
): Promise<Dispatcher.ResponseData['body']> {
  let reply: Dispatcher.ResponseData;
  try {
    reply = await agent.request({
      origin: source.origin,
      path: source.pathname + source.search,
      method: 'GET',
      signal: gone,
      headersTimeout: stallMs,
      bodyTimeout: stallMs,
    });
  } catch (error) {
    throw new SourceFailure(reasonOf(error));
  }
  const announced = Number(reply.headers['content-length']);
  if (reply.statusCode === 200 && announced === length) return reply.body;
  reply.body.on('error', () => {}).destroy();
  if (reply.statusCode !== 200) throw new SourceFailure(`answered ${reply.statusCode}`);
  throw new SourceFailure(`has ${announced} bytes instead of ${length}`);
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

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
