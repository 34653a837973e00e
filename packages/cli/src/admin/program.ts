/** `omgfs admin`: what an operator does. Works with trackers of MogileFS, too. */
import type { Command } from 'commander';
import { addCheckCommands } from './check.ts';
import type { WithAdmin } from './context.ts';
import { addDrainCommands } from './drain.ts';
import { addExplainCommands } from './explain.ts';
import { addFidCommands } from './files/fids.ts';
import { addFsckCommands } from './fsck.ts';
import { addJobCommands } from './jobs.ts';
import { addMachineCommands } from './machines.ts';
import { addNamespaceCommands } from './namespace.ts';
import { addRebalanceCommands } from './rebalance.ts';
import { addScrubCommands } from './scrub.ts';
import { addSettingCommands } from './settings.ts';
import { printDone } from './table.ts';
import { addVerifyCommand } from './verify.ts';

export function addAdminCommands(program: Command, withAdmin: WithAdmin): void {
  const admin = program
    .command('admin')
    .description('look after a cluster: hosts, devices, classes, fsck, rebalance')
    .addHelpText('after', examples);
  addCheckCommands(admin, withAdmin);
  addVerifyCommand(admin, withAdmin);
  addExplainCommands(admin, withAdmin);
  addFidCommands(admin, withAdmin);
  addJobCommands(admin, withAdmin);
  addNamespaceCommands(admin, withAdmin);
  addMachineCommands(admin, withAdmin);
  addSettingCommands(admin, withAdmin);
  addFsckCommands(admin, withAdmin);
  addRebalanceCommands(admin, withAdmin);
  addDrainCommands(admin, withAdmin);
  addScrubCommands(admin, withAdmin);
  admin
    .command('replicate-now')
    .description('make every waiting replication due now')
    .action(
      withAdmin(async ({ admin: one, json }) => {
        const count = await one.replicateNow();
        printDone(`${count} files are due.`, { count }, { json });
      }),
    );
  admin
    .command('refresh')
    .description('make the tracker read the database and look at every device')
    .action(
      withAdmin(async ({ admin: one, json }) => {
        await one.refresh();
        printDone('Done.', { done: 'refresh' }, { json });
      }),
    );
}

const examples = `
Examples:
  omgfs admin check                                is everything well?
  omgfs admin verify                               is every copy where it should be?
  omgfs admin explain dev3                         why is it as it is?
  omgfs admin jobs pause replicate                 let a job rest
  omgfs admin domain add photos                    a name space
  omgfs admin class add photos thumb -m 1          one copy is enough for thumbnails
  omgfs admin host add store4 --ip 10.0.0.4        a new storage node
  omgfs admin device add store4 dev12              and its disk
  omgfs admin device drain dev3 --wait             empty a disk, until it can be pulled
  omgfs admin rebalance even                       spread files evenly, after a node was added
  omgfs --json admin device list                   for scripts
`;
