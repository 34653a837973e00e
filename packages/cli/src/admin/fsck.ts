/** `omgfs admin fsck`. */

import { setTimeout as delay } from 'node:timers/promises';
import type { FsckEvent, FsckStatus } from '@omgfs/client';
import type { Command } from 'commander';
import { numberAbove } from '../numbers.ts';
import { createProgress, printJson, printLine } from '../output.ts';
import type { AdminContext, WithAdmin } from './context.ts';
import { printDone, printFacts, printTable } from './table.ts';

/** What the codes of findings mean (spec §5.5). */
const meanings: Readonly<Record<string, string>> = {
  NOPA: 'no known place',
  POVI: 'policy not met: too few or too many copies, or on the wrong hosts',
  MISS: 'missing on a device',
  BLEN: 'wrong length on a device',
  BSUM: 'content does not have the checksum that is kept',
  NSUM: 'no checksum was kept; it is now',
  MSUM: 'copies differ, and no checksum says which is right',
  BALG: 'the checksum that is kept is of another kind than the class wants',
  SRCH: 'searched for on all devices',
  FOND: 'found on a device where it was not known',
  GONE: 'found nowhere',
  REPL: 'queued for replication',
  BCNT: 'wrong count of copies, corrected',
};
const pollMs = 1000;
/** Findings that are there before those to come. */
const shownAtFirst = 20;

export function addFsckCommands(admin: Command, withAdmin: WithAdmin): void {
  const fsck = admin.command('fsck').description('check every file against its devices');
  const said = (sentence: string) => ({ sentence });
  const simple = {
    start: { ...said('Fsck runs.'), help: 'start, or go on where it stopped' },
    stop: { ...said('Fsck stops; what is queued goes on.'), help: 'stop' },
    clearlog: { ...said('The findings are cleared.'), help: 'clear the findings' },
  };
  const run = {
    start,
    stop: ({ admin: one }: AdminContext) => one.fsckStop(),
    clearlog: ({ admin: one }: AdminContext) => one.fsckClearLog(),
  };
  for (const name of ['start', 'stop', 'clearlog'] as const) {
    fsck
      .command(name)
      .description(simple[name].help)
      .action(
        withAdmin(async (context) => {
          await run[name](context);
          printDone(simple[name].sentence, { done: name }, context);
        }),
      );
  }
  fsck
    .command('reset')
    .description('go back to the start, or to a fid, and forget the counters')
    .option('--policy-only', 'look at the database only, not at the devices')
    .option('--startpos <fid>', 'fid to start behind', numberAbove(-1))
    .option('--only-domain <name>', 'only files of a domain')
    .option('--only-class <name>', 'only files of a class of that domain')
    .option('--prefix <text>', 'only keys of that domain that begin with it')
    .action(withAdmin(reset));
  fsck
    .command('status')
    .description('how far it is, and what it found')
    .option('-w, --watch', 'follow it until it is done')
    .action(withAdmin(status));
  fsck
    .command('log')
    .description('findings, oldest first')
    .option('--after <logid>', 'start behind this one', numberAbove(-1))
    .option('-f, --follow', 'the last ones, and those to come, until Ctrl-C')
    .action(withAdmin(log));
}

/** Whoever starts a complete run again may wonder why it finds nothing. */
async function start({ admin, json }: AdminContext): Promise<void> {
  const { position, end } = await admin.fsckStatus();
  await admin.fsckStart();
  if (json || end === 0 || position < end) return;
  printLine("The last run is complete, so only newer files are looked at; 'fsck reset' before");
  printLine('a start has it look at all of them.');
}

interface ResetFlags {
  policyOnly?: boolean;
  startpos?: number;
  onlyDomain?: string;
  onlyClass?: string;
  prefix?: string;
}

async function reset({ admin, json }: AdminContext, flags: ResetFlags): Promise<void> {
  const { policyOnly, startpos: startFid, onlyDomain, onlyClass, prefix } = flags;
  const limits = { domain: onlyDomain, class: onlyClass, prefix };
  await admin.fsckReset({
    ...limits,
    ...(policyOnly === undefined ? {} : { policyOnly }),
    ...(startFid === undefined ? {} : { startFid }),
  });
  printDone('Fsck is reset; start it next.', { done: 'reset' }, { json });
}

async function status(context: AdminContext, { watch }: { watch?: boolean }): Promise<void> {
  const { admin, json } = context;
  let now = await admin.fsckStatus();
  if (watch) {
    const total = Math.max(1, now.end);
    const progress = createProgress({ label: 'fsck', unit: 'items', total, json });
    let shown = 0;
    // The closer looks that it asked for are part of it; those that wait for a device are not.
    while (now.running || now.fields.queued !== undefined) {
      progress.add({ items: Math.min(now.position, total) - shown });
      shown = Math.min(now.position, total);
      await delay(pollMs);
      now = await admin.fsckStatus();
    }
    progress.stop();
  }
  if (json) return printJson(now);
  printStatus(now);
}

function printStatus(now: FsckStatus): void {
  const { position, end, startTime, stopTime } = now;
  const percent = end === 0 ? 0 : Math.min(100, (100 * position) / end);
  printFacts(
    {
      Running: runningText(now),
      Position: `fid ${position} of ${end} (${percent.toFixed(1)}%)`,
      Mode: now.policyOnly
        ? 'policy only: devices are not asked'
        : 'full: every replica is asked for',
      Started: dateOf(startTime),
      Stopped: dateOf(stopTime),
      ...extraFacts(now),
    },
    { json: false },
  );
  const found = Object.entries(now.events);
  const isOver = !now.running && now.fields.queued === undefined;
  printLine(found.length > 0 ? '' : `\nNothing was found${isOver ? '' : ' so far'}.`);
  printTable(found, {
    json: false,
    columns: {
      CODE: ([code]) => code,
      FOUND: ([, count]) => count,
      MEANING: ([code]) => meanings[code],
    },
  });
}

function runningText({ running, host, fields }: FsckStatus): string {
  if (!running) return fields.queued === undefined ? 'no' : 'no, but closer looks go on';
  const where = `yes, on ${host}`;
  return fields.paused === '1' ? `${where}; it rests: omgfs admin jobs resume fsck` : where;
}

/** What trackers of omgfs say beyond the original. */
function extraFacts({ fields }: FsckStatus): Record<string, string> {
  const known =
    /^(?:running|host|max_fid_checked|policy_only|end_fid|(?:start|stop|current)_time|max_logid)$/;
  return Object.fromEntries(
    Object.entries(fields).filter(([name]) => !known.test(name) && !name.startsWith('num_')),
  );
}

async function log(
  { admin, json }: AdminContext,
  { after, follow }: { after?: number; follow?: boolean },
): Promise<void> {
  const columns = {
    LOGID: (one: FsckEvent) => one.logid,
    TIME: (one: FsckEvent) => dateOf(one.utime),
    FID: (one: FsckEvent) => one.fid,
    CODE: (one: FsckEvent) => one.evcode,
    DEVICE: (one: FsckEvent) => one.devid && `dev${one.devid}`,
    MEANING: (one: FsckEvent) => meanings[one.evcode],
  };
  let last = after ?? 0;
  if (follow && after === undefined) {
    const { fields } = await admin.fsckStatus();
    last = Math.max(0, Number(fields.max_logid) - shownAtFirst);
  }
  for (;;) {
    const page = await admin.fsckLog(last);
    printTable(page, { json, columns });
    last = page.at(-1)?.logid ?? last;
    if (page.length > 0) continue;
    if (!follow) return;
    await delay(pollMs);
  }
}

function dateOf(seconds: number | null): string | null {
  return seconds ? new Date(seconds * 1000).toISOString().replace('.000Z', 'Z') : null;
}
