/** `omgfs admin device drain`, `host evacuate`, `drains`: emptying disks to pull them. */
import { setTimeout as delay } from 'node:timers/promises';
import type { DrainInfo } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import type { Command } from 'commander';
import { withInterrupt } from '../interrupt.ts';
import { deviceId } from '../numbers.ts';
import { createProgress, printLine } from '../output.ts';
import type { AdminContext, WithAdmin } from './context.ts';
import { printDone, printTable } from './table.ts';

const pollMs = 1000;
/** Counting what is left on a large device is work for the database: it rests longer. */
const restsForWork = 10;

interface DrainFlags {
  stop?: boolean;
  wait?: boolean;
}

/** Adds to the commands `device` and `host` of `admin`, and one of its own. */
export function addDrainCommands(admin: Command, withAdmin: WithAdmin): void {
  const [device, host] = ['device', 'host'].map((name) =>
    admin.commands.find((command) => command.name() === name),
  );
  const withFlags = (command: Command | undefined, name: string) =>
    command
      ?.command(name)
      .option('--stop', 'call it off; devices get back the state they had')
      .option('-w, --wait', 'wait until it can be pulled');
  withFlags(device, 'drain')
    ?.argument('<device>', 'for example dev3', deviceId)
    .description('move everything off a device, and say when it can be pulled')
    .action(
      withAdmin((context, devid: number, flags: DrainFlags) =>
        drain(context, { device: devid }, flags),
      ),
    );
  withFlags(host, 'evacuate')
    ?.argument('<name>', 'the host')
    .description('move everything off all devices of a host')
    .action(
      withAdmin((context, name: string, flags: DrainFlags) =>
        drain(context, { host: name }, flags),
      ),
    );
  admin
    .command('drains')
    .description('devices that are being emptied: what is left, what blocks, which can be pulled')
    .action(
      withAdmin(async ({ admin: one, json }) => {
        printDrains(await one.drains(), json);
      }),
    );
}

type Place = { device: number } | { host: string };

async function drain(context: AdminContext, place: Place, flags: DrainFlags): Promise<void> {
  const { admin, json } = context;
  const name = 'device' in place ? `dev${place.device}` : place.host;
  if (flags.stop) {
    await admin.stopDrain(place);
    printDone(`${name} is not emptied any more.`, { stopped: name }, { json });
    return;
  }
  await admin.drain(place);
  if (flags.wait) await withInterrupt((signal) => untilSafe(context, place, signal));
  else printDone(`${name} is being emptied; see 'omgfs admin drains'.`, place, { json });
}

/** @throws FAILURE when the drain was ended by somebody else. */
async function untilSafe(
  { admin, json }: AdminContext,
  place: Place,
  signal: AbortSignal,
): Promise<void> {
  let drains = await admin.drains(place);
  const left = () => drains.reduce((sum, { replicas }) => sum + replicas, 0);
  const total = Math.max(1, left());
  const progress = createProgress({ label: 'emptying', unit: 'items', total, json });
  let shown = 0;
  let tookMs = 0;
  try {
    while (drains.some(({ safe }) => !safe)) {
      const done = Math.max(0, total - left());
      progress.add({ items: done - shown });
      shown = done;
      await delay(Math.max(pollMs, restsForWork * tookMs), undefined, { signal });
      const beganMs = performance.now();
      drains = await admin.drains(place);
      tookMs = performance.now() - beganMs;
    }
  } finally {
    progress.stop();
  }
  if (drains.length === 0) {
    throw new OmgfsError('FAILURE', { message: 'the drain was ended by somebody' });
  }
  printDrains(drains, json);
  if (!json) printLine('It can be pulled.');
}

function printDrains(drains: readonly DrainInfo[], json: boolean): void {
  printTable(drains, {
    json,
    empty: 'No device is being emptied.',
    columns: {
      DEVICE: (one) => `dev${one.devid}`,
      HOST: (one) => one.host,
      REPLICAS: (one) => one.replicas,
      MOVES: (one) => one.moves,
      UPLOADS: (one) => one.uploads,
      'ETA S': (one) => one.etaSeconds,
      'CAN BE PULLED': (one) => (one.safe ? 'yes' : 'no'),
      MESSAGE: (one) => one.message,
    },
  });
}
