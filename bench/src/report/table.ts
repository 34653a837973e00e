/** The report as text for a terminal: machine, rows, comparisons. */
import type { Row } from '../load/rotation.ts';
import type { MachineFacts } from './machine.ts';
import type { Ratio } from './ratios.ts';
import type { Report } from './report.ts';

type Cells = readonly string[];

/** The whole report with a line end. */
export function renderReport(report: Report): string {
  const parts = [renderMachine(report.machine, report), renderRows(report.rows)];
  if (report.ratios.length > 0) parts.push(renderRatios(report.ratios));
  const failed = report.rows.filter(({ errors }) => errors > 0);
  if (failed.length > 0) parts.push(failed.map(renderErrors).join('\n'));
  return `${parts.join('\n\n')}\n`;
}

function renderMachine(machine: MachineFacts, { startedAt, parameters }: Report): string {
  return [
    `${startedAt}  commit ${machine.commit}  node ${machine.node}  database ${machine.database}`,
    `${machine.cpu}, ${machine.cores} cores, ${machine.memoryMiB} MiB, ${machine.system}`,
    `${parameters.rounds} rounds of ${parameters.seconds} s; medians [lowest..highest round]`,
  ].join('\n');
}

function renderRows(rows: readonly Row[]): string {
  const names = [...new Set(rows.flatMap(({ residentBytes }) => Object.keys(residentBytes)))];
  const header = ['workload', 'size', 'conns', 'ops/s', '', 'p50 ms', 'p99 ms'];
  for (const name of names) header.push(`${name} MB`, 'µs/op');
  return align([header, ...rows.map((row) => rowCells(row, names))]);
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
  ];
  for (const name of names) {
    cells.push(((row.residentBytes[name] ?? 0) / 1e6).toFixed(0));
    cells.push((row.cpuMicros[name] ?? 0).toFixed(0));
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
