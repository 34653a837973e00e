/**
 * Asks a storage node about the scrub of a device and tells it what became of its findings. What a
 * node answers is believed only as far as it can be read; nodes of others have no scrub.
 */
import {
  type Finding,
  type ScrubAnswer,
  type ScrubOrder,
  scrubHeader,
  scrubLimits,
} from '@omgfs/protocol';
import type { Dispatcher } from 'undici';
import { call, isSuccess } from './http.ts';

/** `unwilling`: this node knows no such thing. */
export type ScrubOutcome =
  | { state: 'told'; answer: ScrubAnswer }
  | { state: 'unwilling' | 'unreachable'; reason: string };

export async function sendScrubOrder(
  agent: Dispatcher,
  { url, order, deadlineMs }: { url: string; order: ScrubOrder; deadlineMs: number },
): Promise<ScrubOutcome> {
  const headers = { 'content-type': 'application/json', [scrubHeader]: '1' };
  const body = JSON.stringify(order);
  const reply = await call(agent, { method: 'POST', url, headers, body, deadlineMs });
  if (!reply.answered) return { state: 'unreachable', reason: reply.reason };
  const reason = `answered ${reply.status}`;
  // A device that is refused or busy now may tell later.
  if (reply.status === 503) return { state: 'unreachable', reason };
  if (!isSuccess(reply.status)) return { state: 'unwilling', reason };
  const answer = answerOf(reply.text);
  return answer === undefined
    ? { state: 'unwilling', reason: 'its answer about scrub cannot be read' }
    : { state: 'told', answer };
}

/** @returns undefined for what is no answer about a scrub. */
function answerOf(text: string): ScrubAnswer | undefined {
  let said: Record<string, unknown>;
  try {
    // Sent as UTF-8, and read as bytes.
    said = Object(JSON.parse(Buffer.from(text, 'latin1').toString('utf8')));
  } catch {
    return undefined;
  }
  if (typeof said.bytesPerSecond !== 'number' || !Array.isArray(said.pending)) return undefined;
  const totals: Record<string, unknown> = Object(said.totals);
  return {
    ...{ devid: numberOf(said.devid), bytesPerSecond: numberOf(said.bytesPerSecond) },
    ...{ position: textOf(said.position), rounds: numberOf(said.rounds) },
    ...{ startedAt: textOf(said.startedAt), endedAt: textOf(said.endedAt) },
    totals: {
      ...{ files: numberOf(totals.files), bytes: numberOf(totals.bytes) },
      ...{ verified: numberOf(totals.verified), recorded: numberOf(totals.recorded) },
    },
    waiting: numberOf(said.waiting),
    pending: findingsOf(said.pending),
    recent: findingsOf(said.recent),
  };
}

function findingsOf(list: unknown): Finding[] {
  if (!Array.isArray(list)) return [];
  return list.slice(0, scrubLimits.findingsMax).map((entry: unknown) => {
    const { name, at, kind, reason, quarantine, handled }: Record<string, unknown> = Object(entry);
    return {
      ...{ name: textOf(name), at: textOf(at), kind: textOf(kind), reason: textOf(reason) },
      ...(quarantine === undefined ? {} : { quarantine: textOf(quarantine) }),
      ...(handled === undefined ? {} : { handled: textOf(handled) }),
    };
  });
}

function numberOf(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) && value >= 0 ? value : 0;
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
