/** `omgfs admin rebalance`. */
import { type Command, Option } from 'commander';
import { numberAbove } from '../numbers.ts';
import { printLine } from '../output.ts';
import type { AdminContext, WithAdmin } from './context.ts';
import { printDone, printFacts } from './table.ts';

const toleranceDefault = 5;

export function addRebalanceCommands(admin: Command, withAdmin: WithAdmin): void {
  const rebalance = admin
    .command('rebalance')
    .description('move files between devices')
    .option('--even', "the same as 'rebalance even'")
    .allowExcessArguments()
    .addHelpText('after', examples)
    .action(
      withAdmin((context, { even }: { even?: boolean }) => {
        const [unknown] = rebalance.args;
        if (unknown !== undefined) rebalance.error(`unknown command '${unknown}'`);
        if (!even) rebalance.help({ error: true });
        return startEven(context, { tolerance: toleranceDefault, by: 'usage' });
      }),
    );
  rebalance
    .command('policy [options...]')
    .description('set what is moved where; without options, show it')
    .addHelpText('after', policyHelp)
    .action(
      withAdmin(async ({ admin: one, json }, options: string[]) => {
        const policy = options.join(' ');
        if (policy === '') {
          const value = (await one.setting('rebal_policy')) || 'no policy is set';
          return printDone(value, { policy: value }, { json });
        }
        await one.setRebalancePolicy(policy);
        printDone('The policy is set; look with `rebalance test`.', { policy }, { json });
      }),
    );
  rebalance
    .command('test')
    .description('show the devices that the policy selects; moves nothing')
    .action(
      withAdmin(async ({ admin: one, json }) => {
        const { sources, targets } = await one.rebalanceTest();
        if (json) return printDone('', { sources, targets }, { json });
        const names = (ids: number[]) => ids.map((id) => `dev${id}`).join(' ') || 'none';
        printLine(`from  ${names(sources)}`);
        printLine(`to    ${names(targets)}`);
      }),
    );
  addEven(rebalance, withAdmin);
  const sentences = {
    start: 'Rebalance runs.',
    stop: 'Rebalance stops as soon as it can.',
    reset: 'The position is forgotten.',
  };
  for (const action of ['start', 'stop', 'reset'] as const) {
    rebalance
      .command(action)
      .description(`${action} it`)
      .action(
        withAdmin(async ({ admin: one, json }) => {
          await one.rebalance(action);
          printDone(sentences[action], { done: action }, { json });
        }),
      );
  }
  rebalance
    .command('status')
    .description('how far it is')
    .action(
      withAdmin(async ({ admin: one, json }) => {
        const { state = '', ...more } = await one.rebalanceDetails();
        printFacts({ ...stateFacts(state), ...more }, { json });
      }),
    );
}

function addEven(rebalance: Command, withAdmin: WithAdmin): void {
  rebalance
    .command('even')
    .description('spread files until all devices are about equally full')
    .option(
      '--tolerance <points>',
      'percent points a device may be off the mean',
      numberAbove(0),
      toleranceDefault,
    )
    .addOption(
      new Option('--by <what>', 'what to look at: the space devices report, or the files on them')
        .choices(['usage', 'files'])
        .default('usage'),
    )
    .action(withAdmin(startEven));
}

async function startEven({ admin, json }: AdminContext, options: EvenFlags): Promise<void> {
  await admin.rebalanceEven(options);
  printDone('Rebalance runs; see `rebalance status`.', { done: 'even' }, { json });
}

interface EvenFlags {
  tolerance: number;
  by: 'usage' | 'files';
}

/** The state travels as text, `name=value` pairs between blanks (spec §7). */
function stateFacts(state: string): Record<string, string> {
  const pairs = state.split(/\s+/).filter((pair) => pair !== '');
  return Object.fromEntries(
    pairs.map((pair) => {
      const at = pair.indexOf('=');
      return at < 0 ? [pair, ''] : [pair.slice(0, at), pair.slice(at + 1)];
    }),
  );
}

const policyHelp = `
Options, each as name=value:
  from_hosts  from_devices                     lists of ids: 1,2
  to_hosts  to_devices  not_to_hosts  not_to_devices
  from_percent_used  from_percent_free  from_space_used  from_space_free
  to_percent_used    to_percent_free    to_space_used    to_space_free
                                               more than this, in per cent or MiB
  fid_age                                      old files first, or new
  limit_type  limit_by  limit                  device or global; size (10g), count or percent
  use_dest_devs                                all, or so many targets for each file
  leave_in_drain_mode                          1 keeps finished sources in drain

Example:
  omgfs admin rebalance policy from_devices=3 limit_type=global limit_by=size limit=100g
`;

const examples = `
Examples:
  omgfs admin rebalance even                  after a node was added

By policy: empty what is fuller than 90 %, to devices below 80 %
  omgfs admin rebalance policy from_percent_used=90 to_percent_free=20
  omgfs admin rebalance test
  omgfs admin rebalance start
`;
