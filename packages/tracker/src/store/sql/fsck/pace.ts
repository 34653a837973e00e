/**
 * How fast a run gets on, kept in one row of `server_settings`: where it was after so much time of
 * being driven. That leaves out pauses, stops and the wait until another tracker takes over, which
 * the clock alone would count.
 */
import type { FsckPace } from '../../fsck-store.ts';

/** Where a run was; `activeMs` and `checked` since its start. */
interface Sample {
  activeMs: number;
  checked: number;
  position: number;
}

/** What the figures of now look back on. */
const windowMs = 30_000;
const sampleEveryMs = 2_500;
/** A run that has not moved for longer, although it could, is slowing down. */
const stepSecondsMax = 5;

/**
 * @param run.started tells runs apart: what is kept of another is forgotten.
 * @param step.activeMs is the time since the step before.
 */
export function paceText(
  before: string | undefined,
  run: { started: number; startFid: number; now: number },
  step: { activeMs: number; checked: number; to: number },
): string {
  const begin = { activeMs: 0, checked: 0, position: run.startFid };
  const known = parse(before, run.started)?.samples ?? [begin];
  const activeMs = (known.at(-1) ?? begin).activeMs + Math.max(1, Math.round(step.activeMs));
  // The newest gives way to this one until it is of some age.
  const isYoung = activeMs - (known.at(-2)?.activeMs ?? activeMs) < sampleEveryMs;
  const kept = isYoung && known.length > 1 ? known.slice(0, -1) : known;
  const { checked, to: position } = step;
  const samples = [...kept, { activeMs, checked, position }];
  const texts = samples
    .filter((_, at) => activeMs - (samples[at + 1]?.activeMs ?? activeMs) < windowMs)
    .map((one) => `${one.activeMs},${one.checked},${one.position}`);
  return [run.started, run.now, ...texts].join(' ');
}

export function paceOf(
  text: string | undefined,
  run: { started: number; now: number },
): FsckPace | undefined {
  const kept = parse(text, run.started);
  const [first, last] = [kept?.samples[0], kept?.samples.at(-1)];
  if (kept === undefined || first === undefined || last === undefined) return undefined;
  const idleSeconds = Math.max(0, run.now - kept.at - stepSecondsMax);
  const seconds = Math.max(1, last.activeMs - first.activeMs) / 1000 + idleSeconds;
  return {
    filesPerSecond: (1000 * last.checked) / last.activeMs,
    filesPerSecondNow: Math.max(0, last.checked - first.checked) / seconds,
    fidsPerSecondNow: Math.max(0, last.position - first.position) / seconds,
  };
}

function parse(
  text: string | undefined,
  started: number,
): { at: number; samples: Sample[] } | undefined {
  const [kept, at, ...rest] = (text ?? '').split(' ');
  if (kept !== String(started)) return undefined;
  const samples = rest.map((one): Sample => {
    const [activeMs = 0, checked = 0, position = 0] = one.split(',').map(Number);
    return { activeMs, checked, position };
  });
  return { at: Number(at), samples };
}
