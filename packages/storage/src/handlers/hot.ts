/**
 * GETs of small files that were read a short while ago (see HotFiles), without a trip to the thread
 * pool, and, where the request is plain, without anything else that can be left out. The same for
 * HEADs of files that were written a short while ago (see FreshFiles).
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Buffers } from '../device/buffers.ts';
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import type { NowAnswer } from '../http/front.ts';
import { plainPlace } from '../http/path.ts';
import type { PlainHead } from '../http/plain.ts';
import { headEnd, headStart } from '../http/plain-head.ts';
import { type Exchange, flushed, sendHeadList } from '../http/reply.ts';
import { type Found, wholeHead } from './file-head.ts';

/** Larger ones gain nothing from it, and would keep the main thread from others. */
export const hotBytesMax = 64 * 1024;

/** Answers at once with a file that was read a short while ago; undefined when that cannot be. */
export function sendHot(
  buffers: Buffers,
  { req, res }: Exchange,
  { device, name }: { device: Device; name: string },
): Promise<void> | undefined {
  if (req.method !== 'GET' || !device.brisk || asksForMore(req.headers)) return undefined;
  const file = device.hotFiles.find(name);
  if (file === undefined) return undefined;
  const buffer = buffers.take(file.size);
  if (buffer === undefined) return undefined;
  if (!device.hotFiles.read(`${device.root}/${name}`, file, { buffer, at: 0 })) {
    buffers.give(buffer, { reusable: true });
    return undefined;
  }
  sendHeadList(res, 200, file.head);
  return flushed(res, (done) => res.end(buffer.subarray(0, file.size), done)).then((reusable) =>
    buffers.give(buffer, { reusable }),
  );
}

/** The whole answer to a plain request, if it can be had at once. */
export function hotAnswer(
  { devices, buffers }: { devices: Devices; buffers: Buffers },
  { method, target, headers }: PlainHead,
): NowAnswer | undefined {
  const place = plainPlace(target);
  const device = place === undefined ? undefined : devices.findReady(place.devid);
  if (place === undefined || !device?.brisk || asksForMore(headers)) return undefined;
  const { name } = place;
  if (method === 'HEAD') return freshHead(buffers, { device, name });
  if (method !== 'GET') return undefined;
  const file = device.hotFiles.find(name);
  if (file === undefined) return undefined;
  const end = headEnd();
  const headBytes = file.headStart.length + end.length;
  const buffer = buffers.take(headBytes + file.size);
  if (buffer === undefined) return undefined;
  if (!device.hotFiles.read(`${device.root}/${name}`, file, { buffer, at: headBytes })) {
    buffers.give(buffer, { reusable: true });
    return undefined;
  }
  buffer.write(end, buffer.write(file.headStart, 'latin1'), 'latin1');
  return { buffer, bytes: headBytes + file.size };
}

/** The answer to a HEAD of a file that was written a short while ago. */
function freshHead(buffers: Buffers, found: Found): NowAnswer | undefined {
  const { device, name } = found;
  const stats = device.hotFiles.fresh.look(device.root, name);
  if (!stats?.isFile()) return undefined;
  const head = headStart(200, wholeHead(found, stats)) + headEnd();
  const buffer = buffers.take(head.length);
  return buffer && { buffer, bytes: buffer.write(head, 'latin1') };
}

/** Whether the answer may be another one than the whole file. */
function asksForMore(headers: IncomingHttpHeaders): boolean {
  return (
    headers.range !== undefined ||
    headers['want-content-digest'] !== undefined ||
    headers['want-repr-digest'] !== undefined ||
    headers['if-none-match'] !== undefined ||
    headers['if-modified-since'] !== undefined ||
    headers['if-match'] !== undefined ||
    headers['if-unmodified-since'] !== undefined
  );
}
