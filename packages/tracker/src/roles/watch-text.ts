/**
 * A line of the log as those who watch it see it (`!watch`, spec §1.6): for people and for scripts
 * that look for `[<job>(<pid>)] text`, where the log itself is JSON. Pure.
 */

interface LogLine {
  [name: string]: unknown;
}

/** The kinds of processes of the original, by the first word of what ours tell. */
const jobs: ReadonlyMap<string, string> = new Map([
  ['command', 'queryworker'],
  ['replication', 'replicate'],
  ['replica', 'replicate'],
  ['move', 'replicate'],
  ['deletion', 'delete'],
  ['upload', 'delete'],
  ['fsck', 'fsck'],
  ['rebalance', 'job_master'],
  ['drain', 'job_master'],
  ['even', 'job_master'],
  ['host', 'monitor'],
  ['device', 'monitor'],
]);

/** Said of every line, or shown before the facts. */
const shownApart = new Set([
  ...['level', 'time', 'role', 'pid', 'event'],
  ...['code', 'reason', 'warning', 'err'],
]);

/** @param json one line of the log. */
export function watchText(json: string): string {
  const line = JSON.parse(json) as LogLine;
  const { level, pid, event, code, reason, warning, err } = line;
  const message = (err as { message?: unknown } | undefined)?.message;
  const text = [code, reason ?? warning ?? message].filter(isSaid).map(String).join(': ');
  const facts = Object.entries(line)
    .filter(([name, value]) => !shownApart.has(name) && isSaid(value))
    .map(([name, value]) => `${name}=${typeof value === 'string' ? value : JSON.stringify(value)}`);
  const job = event === 'device.reaped' ? 'reaper' : jobs.get(String(event).split('.')[0] ?? '');
  const who = job === undefined ? '' : `[${job}(${pid})] `;
  const what = [text === '' ? '' : `${text} -`, event, ...facts].filter(isSaid).join(' ');
  return `${level === 'debug' ? '[debug] ' : ''}${who}${what}`.replaceAll(/[\r\n]+/g, ' ');
}

function isSaid(value: unknown): boolean {
  return value !== undefined && value !== null && value !== '';
}
