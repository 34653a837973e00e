/**
 * GET and HEAD of a file: ranges, conditions, and bytes in bounded memory. A file of one buffer is
 * read before anything is answered, so that a disk error is still an error to the client.
 */
import type { OutgoingHttpHeaders } from 'node:http';
import { type ByteRange, chooseRanges, evaluateConditions, rangeApplies } from '@omgfs/protocol';
import type { Buffers } from '../device/buffers.ts';
import type { Devices } from '../device/devices.ts';
import { closeNow, readFully } from '../device/files.ts';
import type { Runner } from '../device/io/runner.ts';
import { type OpenFile, openFid, openFile } from '../device/reader.ts';
import { multipart } from '../http/multipart.ts';
import { parseReadTarget } from '../http/path.ts';
import { type Exchange, flushed, type Reply, sendHead, sendText } from '../http/reply.ts';
import type { Scrubs } from '../integrity/scrubs.ts';
import { explainUnreadable } from '../integrity/unreadable.ts';
import { contentType, type Found, fileHeaders, headList, validatorsOf } from './file-head.ts';
import { hotBytesMax, sendHot } from './hot.ts';
import { digestHeaders, type WantedDigests, wantedDigests } from './wanted-digests.ts';

export interface GetContext {
  devices: Devices;
  buffers: Buffers;
  scrubs: Scrubs;
}

/** 256 KiB was the fastest of 64 KiB to 1 MiB (1.67 GB/s on one core, 2026-11). */
const chunkBytes = 256 * 1024;
/** For when memory is short; small enough for every connection to have one. */
const scarceChunkBytes = 8 * 1024;

/**
 * Answers a GET or HEAD.
 * @throws INVALID_PATH, PATH_FORBIDDEN, NO_FILE, NO_DEVICE, DEVICE_REFUSED, FILE_UNREADABLE,
 * errors of the system.
 */
export async function handleGet(context: GetContext, exchange: Exchange): Promise<void> {
  const place = parseReadTarget(exchange.target);
  // Tools take a 2xx on `/` for a sign of life (spec §8.1).
  if (place.kind === 'root') return sendPage(exchange);
  if (place.kind === 'fid') {
    const { file, name, device } = await openFid(context.devices, place.fid);
    return sendFile(context, exchange, { file, device, name });
  }
  if (place.kind === 'scrub') return sendScrub(context, exchange, place.devid);
  const { devid, name } = place;
  const ready = context.devices.findReady(devid);
  if (ready !== undefined) {
    const sending = sendHot(context.buffers, exchange, { device: ready, name });
    if (sending !== undefined) return sending;
  }
  const device = ready ?? (await context.devices.find(devid));
  device.assertReadable();
  if (name === '') return sendPage(exchange);
  // From memory: a disk that is full must not look as it did before it was.
  if (name === 'usage' && device.usage !== undefined) return sendUsage(exchange, device.usage);
  const file = await openFile(device, name);
  return sendFile(context, exchange, { file, device, name });
}

function sendPage(exchange: Exchange): void {
  sendText(exchange, 200, 'This is an omgfs storage node. Directories are not listed.\n');
}

/** What the scrub of a device has found, for trackers and people. */
async function sendScrub({ devices, scrubs }: GetContext, exchange: Exchange, devid: number) {
  const device = await devices.find(devid);
  device.assertReadable();
  const text = `${JSON.stringify({ devid, ...(await scrubs.report(device)) })}\n`;
  sendText(exchange, 200, text, {
    'Content-Type': 'application/json',
    'Cache-Control': 'no-store',
  });
}

function sendUsage(exchange: Exchange, text: string): void {
  sendText(exchange, 200, text, { 'Cache-Control': 'no-store' });
}

/** Answers with an open file and closes it. */
async function sendFile(
  { buffers }: GetContext,
  exchange: Exchange,
  found: Found & { file: OpenFile },
): Promise<void> {
  const { file } = found;
  let owned = true;
  try {
    const { req, res } = exchange;
    const { stats, fd } = file;
    if (stats.isDirectory()) return sendPage(exchange);
    if (!stats.isFile()) return sendText(exchange, 403, 'This is not a regular file.\n');
    const validators = validatorsOf(found, stats);
    const verdict = evaluateConditions(req.headers, validators);
    const headers = fileHeaders(validators);
    if (verdict !== 'send') {
      sendHead(res, verdict, verdict === 412 ? { 'Content-Length': 0 } : headers);
      res.end();
      return;
    }
    headers['Content-Type'] = contentType;
    const { run, digests } = found.device;
    const wanted = await wantedDigests(req.headers, () => digests.find(found.name, stats));
    if (req.method === 'HEAD') {
      const digest = digestHeaders(wanted, { sent: undefined, whole: true });
      sendHead(res, 200, { ...headers, 'Content-Length': stats.size, ...digest });
      res.end();
      return;
    }
    const ranges = rangeApplies(req.headers['if-range'], validators)
      ? chooseRanges(req.headers.range, stats.size)
      : 'whole';
    if (ranges === 'unsatisfiable') {
      const range = { 'Content-Range': `bytes */${stats.size}` };
      return sendText(exchange, 416, 'No part of the file is in that range.\n', range);
    }
    owned = false;
    const body = { fd, size: stats.size, headers, ranges, run, wanted };
    await sendBytes(buffers, res, body).catch(async (error: unknown) => {
      throw await explainUnreadable(found.device, found.name, error);
    });
    if (ranges === 'whole' && stats.size <= hotBytesMax) {
      found.device.hotFiles.add(found.name, stats, headList(headers, stats.size));
    }
  } finally {
    if (owned) closeNow(file.fd);
  }
}

interface Body {
  wanted: WantedDigests | undefined;
  run: Runner;
  /** Closed by the one who sends it. */
  fd: number;
  size: number;
  headers: OutgoingHttpHeaders;
  ranges: 'whole' | readonly ByteRange[];
}

async function sendBytes(buffers: Buffers, res: Reply, body: Body): Promise<void> {
  const { run, fd, size, headers, ranges, wanted } = body;
  if (ranges !== 'whole' && ranges.length > 1) {
    const { type, length, parts, closing } = multipart(ranges, size, contentType);
    const digest = digestHeaders(wanted, { sent: undefined, whole: false });
    const head = { ...headers, ...digest, 'Content-Type': type, 'Content-Length': length };
    return sendParts(buffers, res, { run, fd, status: 206, head, parts, closing });
  }
  const range = ranges === 'whole' ? { start: 0, end: size - 1 } : ranges[0];
  const { start, end } = range ?? { start: 0, end: -1 };
  const length = end - start + 1;
  const status = ranges === 'whole' ? 200 : 206;
  const head: OutgoingHttpHeaders = { ...headers, 'Content-Length': length };
  if (status === 206) head['Content-Range'] = `bytes ${start}-${end}/${size}`;
  const buffer = length > chunkBytes ? undefined : buffers.take(length);
  const whole = status === 200;
  if (buffer === undefined) {
    Object.assign(head, digestHeaders(wanted, { sent: undefined, whole }));
    const parts = [{ preface: '', range: { start, end } }];
    return sendParts(buffers, res, { run, fd, status, head, parts, closing: '' });
  }
  let reusable = true;
  try {
    const chunk = buffer.subarray(0, length);
    try {
      if ((await run(() => readFully(fd, chunk, start))) < length) throw shortened();
    } finally {
      closeNow(fd);
    }
    sendHead(res, status, { ...head, ...digestHeaders(wanted, { sent: chunk, whole }) });
    reusable = await flushed(res, (done) => res.end(chunk, done));
  } finally {
    buffers.give(buffer, { reusable });
  }
}

interface Parts {
  run: Runner;
  fd: number;
  status: number;
  head: OutgoingHttpHeaders;
  parts: readonly { preface: string; range: ByteRange }[];
  closing: string;
}

/** Sends more than fits into one buffer, one buffer at a time. */
async function sendParts(buffers: Buffers, res: Reply, body: Parts): Promise<void> {
  const { run, fd, status, head, parts, closing } = body;
  const pooled = buffers.take(chunkBytes);
  const buffer = pooled ?? Buffer.allocUnsafe(scarceChunkBytes);
  let reusable = true;
  try {
    for (const { preface, range } of parts) {
      let lead = preface;
      for (let at = range.start; at <= range.end; at += buffer.length) {
        const chunk = buffer.subarray(0, Math.min(buffer.length, range.end - at + 1));
        if ((await run(() => readFully(fd, chunk, at))) < chunk.length) throw shortened();
        if (!res.headersSent) sendHead(res, status, head);
        if (lead !== '') res.write(lead);
        lead = '';
        reusable = await flushed(res, (done) => res.write(chunk, done));
        if (!reusable) return;
      }
    }
    res.end(closing);
  } finally {
    closeNow(fd);
    if (pooled !== undefined) buffers.give(pooled, { reusable });
  }
}

function shortened(): Error {
  return new Error('the file became shorter while it was read');
}
