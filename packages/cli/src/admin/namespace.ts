/** `omgfs admin domain` and `omgfs admin class`. */
import type { Admin, ClassChange } from '@omgfs/client';
import { OmgfsError } from '@omgfs/protocol';
import type { Command } from 'commander';
import { numberWithin } from '../numbers.ts';
import { printLine } from '../output.ts';
import type { WithAdmin } from './context.ts';
import { printDone, printTable } from './table.ts';

export function addNamespaceCommands(admin: Command, withAdmin: WithAdmin): void {
  addDomains(admin.command('domain').description('name spaces of keys'), withAdmin);
  addClasses(
    admin.command('class').description('how many copies, where, with which checksum'),
    withAdmin,
  );
}

function addDomains(domain: Command, withAdmin: WithAdmin): void {
  domain
    .command('list')
    .description('list domains')
    .action(
      withAdmin(async ({ admin, json }) => {
        const columns = {
          DOMAIN: (one: { name: string }) => one.name,
          CLASSES: (one: { classes: { name: string }[] }) =>
            one.classes.map(({ name }) => name).join(' '),
        };
        printTable(await admin.domains(), { json, columns, empty: 'There are no domains.' });
      }),
    );
  domain
    .command('add <name>')
    .description('create a domain')
    .action(
      withAdmin(async ({ admin, json }, name: string) => {
        await admin.createDomain(name);
        printDone(`Domain ${name} is there.`, { domain: name }, { json });
      }),
    );
  domain
    .command('delete <name>')
    .description('delete a domain that has no files and no classes')
    .action(
      withAdmin(async ({ admin, json }, name: string) => {
        await admin.deleteDomain(name);
        printDone(`Domain ${name} is gone.`, { domain: name }, { json });
      }),
    );
}

interface ClassFlags {
  mindevcount?: number;
  replpolicy?: string;
  hashtype?: NonNullable<ClassChange['hashtype']>;
}

function addClasses(command: Command, withAdmin: WithAdmin): void {
  command
    .command('list [domain]')
    .description('list classes, of all domains or of one')
    .action(
      withAdmin(async ({ admin, json }, only: string | undefined) => {
        const domains = (await admin.domains()).filter(({ name }) => !only || name === only);
        if (only && domains.length === 0) {
          throw new OmgfsError('UNREG_DOMAIN', { message: `there is no domain '${only}'` });
        }
        const classes = domains.flatMap(({ name: domain, classes: list }) =>
          list.map((one) => ({ domain, ...one })),
        );
        const columns = {
          DOMAIN: (one: { domain: string }) => one.domain,
          CLASS: (one: { name: string }) => one.name,
          COPIES: (one: { mindevcount: number }) => one.mindevcount,
          POLICY: (one: { replpolicy: string }) => one.replpolicy,
          CHECKSUM: (one: { hashtype: string | null }) => one.hashtype,
        };
        printTable(classes, { json, columns });
      }),
    );
  const withFlags = (one: Command) =>
    one
      .option('-m, --mindevcount <n>', 'copies wanted', numberWithin(1, 255))
      .option('-p, --replpolicy <text>', "where copies go, for example 'MultipleHosts(3)'")
      .option('-s, --hashtype <name>', 'checksum to keep: MD5, SHA-1 or NONE');
  withFlags(command.command('add <domain> <class>'))
    .description('create a class; 2 copies unless told otherwise')
    .action(
      withAdmin(async ({ admin, json }, domain: string, name: string, flags: ClassFlags) => {
        await admin.createClass({ domain, name, mindevcount: 2, ...flags });
        const place = { domain, class: name };
        await printChanged({ admin, json }, place, 'is there');
      }),
    );
  withFlags(command.command('modify <domain> <class>'))
    .description('change a class; what is not named stays')
    .action(
      withAdmin(async ({ admin, json }, domain: string, name: string, flags: ClassFlags) => {
        await admin.updateClass({ domain, name, ...flags });
        const place = { domain, class: name };
        await printChanged({ admin, json }, place, 'is changed');
      }),
    );
  command
    .command('delete <domain> <class>')
    .description('delete a class that no file uses')
    .action(
      withAdmin(async ({ admin, json }, domain: string, name: string) => {
        await admin.deleteClass({ domain, name });
        printDone(`Class ${name} of ${domain} is gone.`, { domain, class: name }, { json });
      }),
    );
}

/** It is done; whether the cluster can have it so is said besides. */
async function printChanged(
  { admin, json }: { admin: Admin; json: boolean },
  place: { domain: string; class: string },
  what: string,
): Promise<void> {
  const note = await noteOn(admin, place);
  const facts = note === undefined ? place : { ...place, note };
  printDone(`Class ${place.class} of ${place.domain} ${what}.`, facts, { json });
  if (note !== undefined && !json) printLine(`Note: ${note}`);
}

/** Why the cluster cannot do what a class wants, if so. Trackers of MogileFS do not know. */
export async function noteOn(
  admin: Admin,
  place: { domain: string; class: string },
): Promise<string | undefined> {
  const [, verdict = ''] = await admin.explain(place).catch(() => []);
  return verdict.startsWith('It cannot') ? verdict : undefined;
}
