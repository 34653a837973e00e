/** Two things measured by turns; their ratio is taken round by round. */
import { median, type Spread, spread } from '../load/statistics.ts';
import { type Session, takeTurn } from '../load/turn.ts';
import { type NamedProcess, readCosts } from '../report/processes.ts';

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

export interface Rate {
  perSecond: number;
  /** Processor time of an operation in microseconds, by name of the process. */
  cpuMicros: Map<string, number>;
}

/** Of so many callers, each with one operation in flight. @throws the first error of one. */
export async function rateOf(
  session: Session,
  options: { callers: number; seconds: number; processes?: readonly NamedProcess[] },
): Promise<Rate> {
  const { callers, seconds, processes = [] } = options;
  let before = readCosts(processes);
  const turn = await takeTurn(
    session,
    {
      callers,
      measureMs: seconds * 1000,
      warmUpMs: seconds * 200,
      operationsMax: Number.MAX_SAFE_INTEGER,
      signal: new AbortController().signal,
    },
    () => {
      before = readCosts(processes);
    },
  );
  if (turn.errors > 0) throw new Error(`${turn.errors} failures: ${turn.firstError}`);
  const cpuMicros = [...readCosts(processes)].map(([name, { cpuMs }]): [string, number] => {
    return [name, ((cpuMs - (before.get(name)?.cpuMs ?? 0)) * 1000) / turn.operations];
  });
  return {
    perSecond: turn.operations / (turn.elapsedMs / 1000),
    cpuMicros: new Map(cpuMicros),
  };
}

/** Median processor time of each process over the rounds. */
export function medianCosts(costs: readonly Rate['cpuMicros'][]): Record<string, number> {
  const names = [...(costs[0]?.keys() ?? [])];
  return Object.fromEntries(
    names.map((name) => [name, median(costs.map((cost) => cost.get(name) ?? 0))]),
  );
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
