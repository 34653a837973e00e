/**
 * What trackers ask and tell about the scrub of a device: its findings, which of them were seen to,
 * and how fast it should read.
 */
import type { IncomingMessage } from 'node:http';
import {
  type Finding,
  type FindingId,
  OmgfsError,
  type ScrubAnswer,
  type ScrubOrder,
  scrubLimits,
} from '@omgfs/protocol';
import type { Devices } from '../device/devices.ts';
import { parseReadTarget } from '../http/path.ts';
import { type StreamExchange, sendText } from '../http/reply.ts';
import type { Scrub } from '../integrity/scrub.ts';
import type { Scrubs } from '../integrity/scrubs.ts';

/** Handled findings that are shown besides those that wait. */
const recentMax = 5;
const textMax = 4096;

/**
 * Obeys an order and answers with what there is to see to next.
 * @throws BAD_REQUEST, NO_DEVICE, DEVICE_REFUSED.
 */
export async function handleScrubOrder(
  { devices, scrubs }: { devices: Devices; scrubs: Scrubs },
  exchange: StreamExchange,
): Promise<void> {
  const place = parseReadTarget(exchange.target);
  if (place.kind !== 'scrub') throw malformed('the path is that of no scrub');
  const { devid } = place;
  const order = parseOrder(await readBody(exchange.req));
  const device = await devices.find(devid);
  device.assertReadable();
  const scrub = await scrubs.obey(device, order);
  sendText(exchange, 200, `${JSON.stringify(answerOf(devid, scrub))}\n`, {
    'Content-Type': 'application/json',
    'Cache-Control': 'no-store',
  });
}

function answerOf(devid: number, { report, bytesPerSecond }: Scrub): ScrubAnswer {
  const { position, rounds, startedAt, endedAt, totals, findings, waiting } = report;
  const recent = findings.filter(({ handled }) => handled !== undefined).slice(-recentMax);
  const facts = { devid, bytesPerSecond, position, rounds, startedAt, endedAt, totals };
  const pending = withinBounds(waiting.slice(0, scrubLimits.findingsMax));
  return { ...facts, waiting: waiting.length, pending, recent: withinBounds(recent) };
}

/** As many as an answer may hold; one at least, so that none is in the way for ever. */
function withinBounds(findings: readonly Finding[]): Finding[] {
  let left: number = scrubLimits.findingBytesMax;
  return findings.filter((finding, index) => {
    left -= Buffer.byteLength(JSON.stringify(finding));
    return index === 0 || left >= 0;
  });
}

async function readBody(req: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of req.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > scrubLimits.orderBytesMax) throw malformed('it is too long');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** @throws BAD_REQUEST. */
function parseOrder(text: string): ScrubOrder {
  let order: unknown;
  try {
    order = JSON.parse(text);
  } catch {
    throw malformed('it is no JSON');
  }
  if (typeof order !== 'object' || order === null) throw malformed('it is no object');
  const rate = 'bytesPerSecond' in order ? order.bytesPerSecond : undefined;
  const isRate = typeof rate === 'number' && rate >= 0 && rate <= Number.MAX_SAFE_INTEGER;
  if (rate !== undefined && rate !== null && !isRate) throw malformed('bytesPerSecond is no rate');
  const handled = listOf('handled' in order ? order.handled : undefined).map((entry) => {
    const outcome = textOf('outcome' in entry ? entry.outcome : undefined);
    return { ...idOf(entry), outcome };
  });
  const deferred = listOf('deferred' in order ? order.deferred : undefined).map(idOf);
  return { ...(rate === undefined ? {} : { bytesPerSecond: rate }), handled, deferred };
}

function listOf(value: unknown): object[] {
  if (value === undefined) return [];
  if (!Array.isArray(value) || value.length > scrubLimits.findingsMax) {
    throw malformed(`a list of findings has at most ${scrubLimits.findingsMax}`);
  }
  return value.map((entry: unknown) => {
    if (typeof entry === 'object' && entry !== null) return entry;
    throw malformed('a finding is an object');
  });
}

function idOf(entry: object): FindingId {
  const name = textOf('name' in entry ? entry.name : undefined);
  return { name, at: textOf('at' in entry ? entry.at : undefined) };
}

function textOf(value: unknown): string {
  if (typeof value === 'string' && value.length <= textMax) return value;
  throw malformed('a finding has a name and a time');
}

function malformed(why: string): OmgfsError {
  return new OmgfsError('BAD_REQUEST', { message: `This is no order for a scrub: ${why}.` });
}
