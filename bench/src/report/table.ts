/** The report as text for a terminal: machine, rows, comparisons. */
import type { Row } from '../load/rotation.ts';
import { median } from '../load/statistics.ts';
import type { MachineFacts } from './machine.ts';
import type { Ratio } from './ratios.ts';
import { type Report, settleFact, storedFact } from './report.ts';

type Cells = readonly string[];

/** The whole report with a line end. */
export function renderReport(report: Report): string {
  const parts = [renderMachine(report.machine, report), renderRows(report.rows)];
  if (report.ratios.length > 0) parts.push(renderRatios(report.ratios));
  const settled = report.rows.filter(({ rounds }) => rounds[0]?.facts[settleFact] !== undefined);
  if (settled.length > 0) parts.push(settled.map(renderSettled).join('\n'));
  const failed = report.rows.filter(({ errors }) => errors > 0);
  if (failed.length > 0) parts.push(failed.map(renderErrors).join('\n'));
  return `${parts.join('\n\n')}\n`;
}

function renderMachine(machine: MachineFacts, { startedAt, parameters }: Report): string {
  return [
    `${startedAt}  commit ${machine.commit}  node ${machine.node}  database ${machine.database}`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryMiB} MiB, ${machine.system}`,
    `${parameters.rounds} rounds of ${parameters.seconds} s; medians [lowest..highest round];` +
      ' elsewhere: processors busy with what is not measured',
    'per process: resident memory in MB / processor time of one operation in µs',
  ].join('\n');
}

function renderRows(rows: readonly Row[]): string {
  const names = [...new Set(rows.flatMap(({ residentBytes }) => Object.keys(residentBytes)))];
  const header = ['workload', 'size', 'conns', 'ops/s', '', 'p50 ms', 'p99 ms', 'elsewhere'];
  return align([[...header, ...names], ...rows.map((row) => rowCells(row, names))]);
}

function rowCells(row: Row, names: readonly string[]): Cells {
  const { median, min, max } = row.opsPerSecond;
  const cells = [
    row.workload,
    sizeText(row.bytes),
    String(row.connections),
    median.toFixed(0),
    `[${min.toFixed(0)}..${max.toFixed(0)}]`,
    row.p50Ms.toFixed(2),
    row.p99Ms.toFixed(2),
    `${(row.elsewhere * 100).toFixed(0)} %`,
  ];
  for (const name of names) {
    const memory = ((row.residentBytes[name] ?? 0) / 1e6).toFixed(0);
    cells.push(`${memory} / ${(row.cpuMicros[name] ?? 0).toFixed(0)}`);
  }
  return cells;
}

function renderRatios(ratios: readonly Ratio[]): string {
  const rows = ratios.map(({ name, of, target }) => [
    name,
    of.median.toFixed(2),
    `[${of.min.toFixed(2)}..${of.max.toFixed(2)}]`,
    target === undefined ? '' : `target >= ${target}`,
    target === undefined ? '' : of.median >= target ? 'pass' : 'MISS',
  ]);
  return align([['ratio of ops/s', 'median', '', '', ''], ...rows]);
}

function renderSettled({ workload, bytes, connections, rounds }: Row): string {
  const seconds = median(rounds.map(({ facts }) => facts[settleFact] ?? 0)) / 1000;
  const files = median(rounds.map(({ facts }) => facts[storedFact] ?? 0));
  const what = `${workload} ${sizeText(bytes)} x${connections}`;
  return `${what}: all copies were there ${seconds.toFixed(1)} s after a turn of ${files} files`;
}

function renderErrors({ workload, connections, errors, firstError }: Row): string {
  return `${errors} errors in ${workload} x${connections}, first: ${firstError}`;
}

/** `4k`, `1m` or the number itself; a dash for none. */
export function sizeText(bytes: number | undefined): string {
  if (bytes === undefined) return '-';
  if (bytes % (1024 * 1024) === 0) return `${bytes / 1024 / 1024}m`;
  return bytes % 1024 === 0 ? `${bytes / 1024}k` : String(bytes);
}

/** Columns of equal width; the first is text, the others are flush right. */
function align(rows: readonly Cells[]): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [at, cell] of row.entries()) widths[at] = Math.max(widths[at] ?? 0, cell.length);
  }
  const pad = (cell: string, at: number) =>
    at === 0 ? cell.padEnd(widths[at] ?? 0) : cell.padStart(widths[at] ?? 0);
  return rows.map((row) => row.map(pad).join('  ').trimEnd()).join('\n');
}
