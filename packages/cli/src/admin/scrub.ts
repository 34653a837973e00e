/** `omgfs admin scrub`: how nodes read their disks again, how fast, and what they found. */
import type { ScrubInfo } from '@omgfs/client';
import { type Command, InvalidArgumentError } from 'commander';
import { deviceId } from '../numbers.ts';
import type { WithAdmin } from './context.ts';
import { printDone, printTable } from './table.ts';

const rateField = 'omg_scrub_mib_per_second';
const bytesPerMib = 1024 * 1024;

export function addScrubCommands(admin: Command, withAdmin: WithAdmin): void {
  const scrub = admin
    .command('scrub')
    .description('how far nodes are with reading their disks for rotten files, and what they found')
    .addHelpText('after', examples);
  scrub
    .command('status', { isDefault: true })
    .argument('[device]', 'for example dev3; all without', deviceId)
    .description('position, rate, time left and the last finding of each device')
    .action(
      withAdmin(async ({ admin: one, json }, device?: number) => {
        printScrubs(await one.scrubs(device === undefined ? {} : { device }), json);
      }),
    );
  scrub
    .command('rate')
    .argument('<mib>', "MiB a second on each device; 'default' leaves it to the nodes", parseRate)
    .description('set how fast every node reads')
    .action(
      withAdmin(async ({ admin: one, json }, rate: string) => {
        await one.setSetting(rateField, rate);
        const sentence =
          rate === '' ? 'Nodes go by their own options.' : `Nodes read ${rate} MiB a second.`;
        printDone(sentence, { rate: rate === '' ? null : Number(rate) }, { json });
      }),
    );
  scrub
    .command('off')
    .description('let every node stand still until a rate is set')
    .action(
      withAdmin(async ({ admin: one, json }) => {
        await one.setSetting(rateField, '0');
        printDone('Nodes stop within seconds.', { rate: 0 }, { json });
      }),
    );
}

function parseRate(text: string): string {
  if (text === 'default') return '';
  if (/^\d{1,6}$/.test(text)) return text;
  throw new InvalidArgumentError("a whole number of MiB a second, or 'default'");
}

function printScrubs(scrubs: readonly ScrubInfo[], json: boolean): void {
  printTable(scrubs, {
    json,
    empty: 'There are no devices.',
    columns: {
      DEVICE: (one) => `dev${one.devid}`,
      HOST: (one) => one.host,
      STATE: (one) => one.state,
      'MIB/S': (one) => (one.bytesPerSecond / bytesPerMib).toFixed(1),
      ROUNDS: (one) => one.rounds,
      POSITION: (one) => one.position,
      FILES: (one) => one.files,
      'ETA S': (one) => one.etaSeconds,
      WAITING: (one) => one.waiting,
      'LAST FINDING': (one) => one.message,
    },
  });
}

const examples = `
Examples:
  omgfs admin scrub                  every device
  omgfs admin scrub status dev3      one of them
  omgfs admin scrub rate 20          20 MiB a second on each device, from now on
  omgfs admin scrub rate default     as each node was told by scrub-mb
  omgfs admin scrub off              not now
`;
