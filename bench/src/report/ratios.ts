/**
 * Comparisons of a row with a bare limit of the same rotation. The ratio is taken round by round
 * and its median reported, so that both sides saw the same weather.
 */
import type { Row } from '../load/rotation.ts';
import { type Spread, spread } from '../load/statistics.ts';

/** Names of the bare limits as rows. */
export const limits = {
  select: 'bare SELECT',
  insert: 'bare INSERT',
  disk: 'bare disk write',
  parts: 'bare parts',
  nginx: 'nginx GET',
} as const;

export interface Ratio {
  name: string;
  of: Spread;
  /** What the project promises; undefined for comparisons that are only shown. */
  target: number | undefined;
}

interface Comparison {
  workload: string;
  limit: string;
  /** Only these are held to a target. */
  promise?: { connections: number; bytes?: number; target: number };
  /** Whether the limit was measured for each size and number of connections. */
  alike: boolean;
}

const comparisons: readonly Comparison[] = [
  {
    workload: 'get_paths',
    limit: limits.select,
    promise: { connections: 64, target: 1 },
    alike: false,
  },
  {
    workload: 'store',
    limit: limits.insert,
    promise: { connections: 64, bytes: 4096, target: 0.5 },
    alike: false,
  },
  { workload: 'store', limit: limits.disk, alike: true },
  { workload: 'store', limit: limits.parts, alike: true },
  { workload: limits.parts, limit: limits.insert, alike: false },
  { workload: 'read', limit: limits.nginx, alike: true },
];

/** Every comparison for which both rows were measured; `rows` are those of one rotation. */
export function ratiosOf(rows: readonly Row[]): Ratio[] {
  return comparisons.flatMap((comparison) =>
    rows
      .filter(({ workload }) => workload === comparison.workload)
      .flatMap((row) => {
        const limit = rows.find((other) => isLimitOf(comparison, row, other));
        return limit === undefined ? [] : [ratioOf(comparison, row, limit)];
      }),
  );
}

function isLimitOf(comparison: Comparison, row: Row, other: Row): boolean {
  if (other.workload !== comparison.limit) return false;
  if (!comparison.alike) return true;
  return other.bytes === row.bytes && other.connections === row.connections;
}

function ratioOf(comparison: Comparison, row: Row, limit: Row): Ratio {
  const { promise } = comparison;
  const promised =
    promise !== undefined &&
    promise.connections === row.connections &&
    (promise.bytes === undefined || promise.bytes === row.bytes);
  const size = row.bytes === undefined ? '' : ` ${row.bytes} bytes`;
  return {
    name: `${row.workload}${size} x${row.connections} / ${limit.workload} x${limit.connections}`,
    of: spread(
      row.rounds.map((round, index) => {
        return round.opsPerSecond / (limit.rounds[index]?.opsPerSecond ?? Number.NaN);
      }),
    ),
    target: promised ? promise.target : undefined,
  };
}
