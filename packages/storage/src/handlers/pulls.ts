/**
 * Many small node-to-node copies in one request: what a request costs is then shared. Each order is
 * checked, signed and carried out as if it had come by itself, and has its own answer.
 */
import type { IncomingMessage } from 'node:http';
import { formatChecksum, OmgfsError, type PullAnswer, pullBatch } from '@omgfs/protocol';
import { checkPull } from '../access/access.ts';
import { toHttpError } from '../device/failures.ts';
import { lstat, lstatNow } from '../device/files.ts';
import { DiskWatch } from '../device/io/disk-watch.ts';
import { parseWriteTarget } from '../http/path.ts';
import { type StreamExchange, sendHead } from '../http/reply.ts';
import { orderOf, type PullContext, progressEveryMs, SourceFailure, storePull } from './pull.ts';

/**
 * Answers 200 with a list of `PullAnswer`s in the order of the orders.
 * @throws BAD_REQUEST, PULL_REFUSED.
 */
export async function handlePulls(
  context: PullContext,
  { req, res }: StreamExchange,
): Promise<void> {
  if (!context.access.pull) throw new OmgfsError('PULL_REFUSED');
  const orders = listOf(await readBody(req));
  const progress = setInterval(() => res.writeProcessing(), progressEveryMs);
  const gone = new AbortController();
  res.once('close', () => gone.abort(new Error('nobody waits for the answer')));
  try {
    const answers = await Promise.all(orders.map((order) => answerTo(context, order, gone.signal)));
    const text = Buffer.from(JSON.stringify(answers));
    sendHead(res, 200, { 'Content-Type': 'application/json', 'Content-Length': text.length });
    res.end(text);
  } finally {
    clearInterval(progress);
  }
}

async function answerTo(
  context: PullContext,
  words: Record<string, unknown>,
  gone: AbortSignal,
): Promise<PullAnswer> {
  try {
    const text = (name: string) => String(words[name] ?? '');
    const [source, target] = [text('source'), text('target')];
    checkPull(context.access, { source, target });
    const { devid, name, directory } = parseWriteTarget(target);
    const order = orderOf({
      source,
      length: text('length'),
      checksum: text('checksum'),
      hash: text('hash'),
    });
    if (name === '' || directory || order === undefined || order.length > pullBatch.fileBytesMax) {
      throw new OmgfsError('BAD_REQUEST');
    }
    const checksum = await storePull(context, order, { devid, name, gone });
    const bytes = await placedBytes(context, { devid, name });
    return { status: 201, bytes, ...(checksum && { checksum: formatChecksum(checksum) }) };
  } catch (error) {
    if (error instanceof SourceFailure) return { status: 502, reason: error.message };
    const { status, message } = toHttpError(error);
    return { status, reason: message };
  }
}

/**
 * What is in its place now, not what was meant to be: the tracker counts the copy by it.
 * @throws DEVICE_BUSY when the disk does not say it; errors of the system.
 */
async function placedBytes(
  { devices, stallMs }: PullContext,
  { devid, name }: { devid: number; name: string },
): Promise<number> {
  const device = await devices.find(devid);
  const path = `${device.root}/${name}`;
  if (device.brisk) return lstatNow(path).size;
  const disk = new DiskWatch({ stallMs, bytes: 0 });
  disk.work();
  try {
    const stats = await Promise.race([device.run(() => lstat(path)), disk.hanging]);
    return stats.size;
  } finally {
    disk.rest();
  }
}

async function readBody(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > pullBatch.bodyBytesMax) throw unreadable();
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString();
}

/** @throws BAD_REQUEST. */
function listOf(text: string): Record<string, unknown>[] {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    throw unreadable();
  }
  if (!Array.isArray(list) || list.length > pullBatch.ordersMax) throw unreadable();
  if (!list.every((one) => typeof one === 'object' && one !== null)) throw unreadable();
  return list as Record<string, unknown>[];
}

function unreadable(): OmgfsError {
  const { ordersMax, bodyBytesMax } = pullBatch;
  return new OmgfsError('BAD_REQUEST', {
    message: `The body must be a JSON list of at most ${ordersMax} pulls in ${bodyBytesMax} bytes.`,
  });
}
