/**
 * Measures several rows by turns, A B C A B C …, so that what disturbs the machine for a while
 * disturbs all of them alike and their ratio, taken round by round, stays meaningful.
 */
import { availableParallelism } from 'node:os';
import { type Cost, type NamedProcess, readBusyMs, readCosts } from '../report/processes.ts';
import { median, type Spread, spread } from './statistics.ts';
import { type Session, takeTurn } from './turn.ts';

/** One row of the report and how to measure it. */
export interface Entry {
  workload: string;
  /** File size; undefined where none is moved. */
  bytes: number | undefined;
  connections: number;
  open(): Promise<Session>;
  /** Ends turns early; asked before each. */
  operationsMax?: () => number;
  /** What must be over before the next turn; @returns facts for the row. */
  afterTurn?: () => Promise<Record<string, number>>;
}

export interface Round {
  opsPerSecond: number;
  p50Ms: number;
  p99Ms: number;
  operations: number;
  errors: number;
  elapsedMs: number;
  /** Share of all processors that went to what is not measured: how disturbed the round was. */
  elsewhere: number;
  /** What `afterTurn` found. */
  facts: Record<string, number>;
}

export interface Row {
  workload: string;
  bytes: number | undefined;
  connections: number;
  opsPerSecond: Spread;
  p50Ms: number;
  p99Ms: number;
  errors: number;
  firstError: string | undefined;
  /** Median share of all processors that went to processes without a name here. */
  elsewhere: number;
  /** Largest resident memory seen after a turn, by process name. */
  residentBytes: Record<string, number>;
  /** Median processor time of an operation in microseconds, by process name. */
  cpuMicros: Record<string, number>;
  rounds: Round[];
}

export interface RotationOptions {
  rounds: number;
  seconds: number;
  processes: readonly NamedProcess[];
  signal: AbortSignal;
  progress: (text: string) => void;
}

interface Measured {
  round: Round;
  firstError: string | undefined;
  residentBytes: Map<string, number>;
  cpuMicros: Map<string, number>;
}

/** What was spent up to a moment. */
interface Spent {
  atMs: number;
  busyMs: number;
  costs: Map<string, Cost>;
}

/** Takes every entry's turn once a round. @returns rows in the order of the entries. */
export async function rotate(entries: readonly Entry[], options: RotationOptions): Promise<Row[]> {
  const measured = entries.map((): Measured[] => []);
  for (let round = 1; round <= options.rounds; round += 1) {
    for (const [index, entry] of entries.entries()) {
      const what = `${entry.workload} ${entry.bytes ?? ''} x${entry.connections}`;
      options.progress(`round ${round} of ${options.rounds}: ${what}`);
      measured[index]?.push(await measure(entry, options));
    }
  }
  return entries.map((entry, index) => rowOf(entry, measured[index] ?? []));
}

async function measure(entry: Entry, options: RotationOptions): Promise<Measured> {
  const { processes, signal } = options;
  const session = await entry.open();
  try {
    let before = spent(processes);
    const turn = await takeTurn(
      session,
      {
        callers: entry.connections,
        measureMs: options.seconds * 1000,
        warmUpMs: (options.seconds * 1000) / 6,
        operationsMax: entry.operationsMax?.() ?? Number.MAX_SAFE_INTEGER,
        signal,
      },
      () => {
        before = spent(processes);
      },
    );
    const after = spent(processes);
    const cpuMs = cpuBetween(before, after);
    const facts = (await entry.afterTurn?.()) ?? {};
    const { operations, errors, elapsedMs, latency, firstError } = turn;
    return {
      round: {
        opsPerSecond: operations / (elapsedMs / 1000),
        p50Ms: latency.quantile(0.5) / 1000,
        p99Ms: latency.quantile(0.99) / 1000,
        operations,
        errors,
        elapsedMs,
        elsewhere: elsewhereBetween(before, after),
        facts,
      },
      firstError,
      residentBytes: new Map([...after.costs].map(([name, cost]) => [name, cost.residentBytes])),
      cpuMicros: new Map([...cpuMs].map(([name, ms]) => [name, (ms * 1000) / operations])),
    };
  } finally {
    await session.close();
  }
}

function spent(processes: readonly NamedProcess[]): Spent {
  return { atMs: performance.now(), busyMs: readBusyMs(), costs: readCosts(processes) };
}

function cpuBetween(before: Spent, after: Spent): Map<string, number> {
  return new Map(
    [...after.costs].map(([name, { cpuMs }]) => {
      return [name, cpuMs - (before.costs.get(name)?.cpuMs ?? cpuMs)];
    }),
  );
}

function elsewhereBetween(before: Spent, after: Spent): number {
  const named = [...cpuBetween(before, after).values()].reduce((sum, ms) => sum + ms, 0);
  const availableMs = (after.atMs - before.atMs) * availableParallelism();
  return Math.max(0, (after.busyMs - before.busyMs - named) / availableMs);
}

function rowOf(entry: Entry, measured: readonly Measured[]): Row {
  const rounds = measured.map(({ round }) => round);
  const names = [...(measured[0]?.residentBytes.keys() ?? [])];
  const perName = (pick: (name: string) => number) =>
    Object.fromEntries(names.map((name) => [name, pick(name)]));
  return {
    workload: entry.workload,
    bytes: entry.bytes,
    connections: entry.connections,
    opsPerSecond: spread(rounds.map(({ opsPerSecond }) => opsPerSecond)),
    p50Ms: median(rounds.map(({ p50Ms }) => p50Ms)),
    p99Ms: median(rounds.map(({ p99Ms }) => p99Ms)),
    errors: rounds.reduce((sum, { errors }) => sum + errors, 0),
    firstError: measured.find(({ firstError }) => firstError !== undefined)?.firstError,
    elsewhere: median(rounds.map(({ elsewhere }) => elsewhere)),
    residentBytes: perName((name) =>
      Math.max(...measured.map(({ residentBytes }) => residentBytes.get(name) ?? 0)),
    ),
    cpuMicros: perName((name) => median(measured.map(({ cpuMicros }) => cpuMicros.get(name) ?? 0))),
    rounds,
  };
}
