/** `omgfs admin explain` and `omgfs admin queues`. */
import type { QueueInfo } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import type { Command } from 'commander';
import { printJson, printLine, shownKey } from '../output.ts';
import type { AdminContext, WithAdmin } from './context.ts';
import { printTable } from './table.ts';

export function addExplainCommands(admin: Command, withAdmin: WithAdmin): void {
  admin
    .command('explain <subject>')
    .description('why a file, device or class is as it is, and what will happen next')
    .addHelpText('after', examples)
    .action(withAdmin(explain));
  admin
    .command('queues')
    .description('what waits, for how long, and what has failed')
    .action(withAdmin(queues));
}

async function explain({ admin, domain, json }: AdminContext, subject: string): Promise<void> {
  const lines = await admin.explain(subjectOf(subject, domain));
  if (json) printJson({ subject, lines });
  else for (const line of lines) printLine(shownKey(line));
}

function subjectOf(text: string, domain: string | undefined) {
  const named = /^class:([^/]+)\/(.+)$/.exec(text);
  if (named !== null) return { domain: named[1] ?? '', class: named[2] ?? '' };
  const match = /^(?:(fid|dev):|dev)(\d{1,15})$/.exec(text);
  if (match?.[1] === 'fid') return { fid: Number(match[2]) };
  if (match !== null) return { devid: Number(match[2]) };
  if (domain !== undefined) return { domain, key: text };
  throw new OmgfsError('NO_DOMAIN', { message: 'name the domain of the key with --domain' });
}

async function queues({ admin, json }: AdminContext): Promise<void> {
  const reasons = await admin.waitReasons();
  const all = (await admin.queues()).map((queue) => ({
    ...queue,
    reasons: reasons.flatMap(({ job, ...reason }) => (job === queue.name ? [reason] : [])),
  }));
  printTable(all, {
    json,
    columns: {
      QUEUE: (one: QueueInfo) => one.name,
      ROWS: (one: QueueInfo) => one.total,
      DUE: (one: QueueInfo) => one.due,
      WORKING: (one: QueueInfo) => one.working,
      FAILED: (one: QueueInfo) => one.failed,
      PARKED: (one: QueueInfo) => one.parked,
      'PER S': (one: QueueInfo) => (one.paused ? 'paused' : one.perSecond),
      ETA: (one: QueueInfo) => (one.etaSeconds === null ? null : duration(one.etaSeconds)),
      'OLDEST DUE': (one: QueueInfo) => duration(one.oldestDueSeconds),
      'NEXT IN': (one: QueueInfo) =>
        one.nextInSeconds === null ? null : duration(one.nextInSeconds),
    },
  });
  if (json) return;
  for (const { job, reason, count } of reasons) {
    printLine(`${job}: ${count} failed last because of: ${shownKey(reason)}`);
  }
}

/** `2 h 5 min`, the two largest units. */
function duration(seconds: number): string {
  const units: [string, number][] = [
    ['d', 86_400],
    ['h', 3600],
    ['min', 60],
    ['s', 1],
  ];
  let left = Math.max(0, Math.floor(seconds));
  const parts: string[] = [];
  for (const [unit, size] of units) {
    if (left >= size || (unit === 's' && parts.length === 0)) {
      parts.push(`${Math.floor(left / size)} ${unit}`);
      left %= size;
    }
  }
  return parts.slice(0, 2).join(' ');
}

const examples = `
Examples:
  omgfs --domain photos admin explain cat.jpg      a key
  omgfs admin explain fid:4711                     a fid
  omgfs admin explain dev3                         a device
  omgfs admin explain class:photos/thumb           a class, whether it can be had
`;
