/**
 * Many small node-to-node copies in one request: what a request costs is then shared. Each order is
 * checked, signed and carried out as if it had come by itself, and has its own answer.
 */
import { setMaxListeners } from 'node:events';
import { formatChecksum, OmgfsError, type PullAnswer, pullBatch } from '@omgfs/protocol';
import { checkPull } from '../access/access.ts';
import { toHttpError } from '../device/failures.ts';
import { lstat, lstatNow } from '../device/files.ts';
import { DiskWatch } from '../device/io/disk-watch.ts';
import { parseWriteTarget } from '../http/path.ts';
import { type StreamExchange, sendHead, showProgress } from '../http/reply.ts';
import { readList, unreadable } from './json-list.ts';
import { checkSource, orderOf, type PullContext, storePull } from './pull.ts';
import { type Bundled, fetchBundle, isBundled, type Order, SourceFailure } from './pull-source.ts';

/** An order that may be carried out, and where its file goes. */
interface Task {
  order: Order;
  devid: number;
  name: string;
}

const limits = {
  itemsMax: pullBatch.ordersMax,
  bytesMax: pullBatch.bodyBytesMax,
  what: 'pulls',
};

/**
 * Answers 200 with a list of `PullAnswer`s in the order of the orders.
 * @throws BAD_REQUEST, PULL_REFUSED.
 */
export async function handlePulls(context: PullContext, exchange: StreamExchange): Promise<void> {
  const { req, res } = exchange;
  if (!context.access.pull) throw new OmgfsError('PULL_REFUSED');
  const list = await readList(req, limits);
  if (!list.every(isRecord)) throw unreadable(limits);
  const endProgress = showProgress(exchange, context.stallMs);
  const gone = new AbortController();
  setMaxListeners(0, gone.signal);
  res.once('close', () => gone.abort(new Error('nobody waits for the answer')));
  try {
    const answers = await carryOut(context, list, gone.signal);
    const files = answers.filter(({ status }) => status === 201).length;
    context.log.info({ files, failed: answers.length - files }, 'files.pulled');
    const text = Buffer.from(JSON.stringify(answers));
    sendHead(res, 200, { 'Content-Type': 'application/json', 'Content-Length': text.length });
    res.end(text);
  } finally {
    endProgress();
  }
}

/** What one node has is fetched together; each file is stored by itself as soon as it is there. */
async function carryOut(
  context: PullContext,
  list: readonly Record<string, unknown>[],
  gone: AbortSignal,
): Promise<PullAnswer[]> {
  const answers: Promise<PullAnswer>[] = [];
  const bundles = new Map<string, { index: number; task: Task }[]>();
  const sources = new Set<string>();
  const answer = (index: number, task: Task, file?: Promise<Bundled>) => {
    answers[index] = answerTo(context, task, { gone, file }).catch(refusal);
  };
  for (const [index, words] of list.entries()) {
    try {
      const task = taskOf(context, words, sources);
      const { origin } = task.order.source;
      const bundled = bundles.get(origin);
      if (!isBundled(task.order)) answer(index, task);
      else if (bundled === undefined) bundles.set(origin, [{ index, task }]);
      else bundled.push({ index, task });
    } catch (error) {
      answers[index] = Promise.resolve(refusal(error));
    }
  }
  const { buffers, stallMs } = context;
  for (const bundled of bundles.values()) {
    const orders = bundled.map(({ task }) => task.order);
    const files = orders.length > 1 ? fetchBundle(orders, { buffers, stallMs, gone }) : [];
    for (const [at, { index, task }] of bundled.entries()) answer(index, task, files[at]);
  }
  return Promise.all(answers);
}

/**
 * @param sources the hosts that this node was found to be allowed to fetch from.
 * @throws BAD_REQUEST, UNAUTHORIZED, PULL_REFUSED, and what a PUT throws for its target.
 */
function taskOf(
  { access }: PullContext,
  words: Record<string, unknown>,
  sources: Set<string>,
): Task {
  const text = (name: string) => String(words[name] ?? '');
  const [source, target] = [text('source'), text('target')];
  checkPull(access, { source, target });
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
  const { hostname } = order.source;
  if (!sources.has(hostname)) checkSource(access, order);
  sources.add(hostname);
  return { order, devid, name };
}

async function answerTo(
  context: PullContext,
  { order, devid, name }: Task,
  { gone, file }: { gone: AbortSignal; file: Promise<Bundled> | undefined },
): Promise<PullAnswer> {
  const bundled = await file;
  const fetched = bundled === undefined || bundled === 'alone' ? {} : { fetched: bundled };
  const checksum = await storePull(context, order, { devid, name, gone, ...fetched });
  const bytes = await placedBytes(context, { devid, name });
  return { status: 201, bytes, ...(checksum && { checksum: formatChecksum(checksum) }) };
}

function refusal(error: unknown): PullAnswer {
  if (error instanceof SourceFailure) return { status: 502, reason: error.message };
  const { status, message } = toHttpError(error);
  return { status, reason: message };
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

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null;
}
