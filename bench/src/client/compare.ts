/** Two things measured by turns; their ratio is taken round by round. */
import { type Spread, spread } from '../load/statistics.ts';
import { type Session, takeTurn } from '../load/turn.ts';

export interface Comparison {
  name: string;
  unit: string;
  /** What is measured, in units a second. */
  ours: Spread;
  /** What it is compared with. */
  bare: Spread;
  ratio: Spread;
  target: number;
  rounds: { ours: number; bare: number }[];
}

/** Each returns its rate. The first round warms up and does not count. */
export async function compareRates(
  about: { name: string; unit: string; target: number; rounds: number },
  turns: { ours: () => Promise<number>; bare: () => Promise<number> },
): Promise<Comparison> {
  const { rounds: count, ...shown } = about;
  const rounds: { ours: number; bare: number }[] = [];
  for (let round = 0; round <= count; round += 1) {
    const rates = { ours: await turns.ours(), bare: await turns.bare() };
    if (round > 0) rounds.push(rates);
  }
  return {
    ...shown,
    ours: spread(rounds.map(({ ours }) => ours)),
    bare: spread(rounds.map(({ bare }) => bare)),
    ratio: spread(rounds.map(({ ours, bare }) => ours / bare)),
    rounds,
  };
}

/** Operations a second of so many callers, each with one in flight. @throws its first error. */
export async function rateOf(
  session: Session,
  { callers, seconds }: { callers: number; seconds: number },
): Promise<number> {
  const turn = await takeTurn(
    session,
    {
      callers,
      measureMs: seconds * 1000,
      warmUpMs: seconds * 200,
      operationsMax: Number.MAX_SAFE_INTEGER,
      signal: new AbortController().signal,
    },
    () => {},
  );
  if (turn.errors > 0) throw new Error(`${turn.errors} failures: ${turn.firstError}`);
  return turn.operations / (turn.elapsedMs / 1000);
}

export function comparisonLine({ name, unit, ours, bare, ratio, target }: Comparison): string {
  const digits = (value: number) => value.toFixed(0);
  const range = `${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)}`;
  const verdict = ratio.median >= target ? '' : '  MISS';
  return (
    `${name}: ${digits(ours.median)} ${unit}/s, bare ${digits(bare.median)} ${unit}/s, ` +
    `ratio ${ratio.median.toFixed(2)} (${range}), target ${target}${verdict}`
  );
}
