/** `omgfs admin settings` and `omgfs admin replica`. */
import type { Command } from 'commander';
import type { AdminContext, WithAdmin } from './context.ts';
import { printDone, printTable } from './table.ts';

export function addSettingCommands(admin: Command, withAdmin: WithAdmin): void {
  addSettings(admin.command('settings').description('settings all trackers share'), withAdmin);
  const replica = admin.command('replica').alias('slave');
  addReplicas(replica.description('replica databases for lookups'), withAdmin);
}

function addSettings(settings: Command, withAdmin: WithAdmin): void {
  settings
    .command('list')
    .description('list what is set')
    .action(
      withAdmin(async ({ admin, json }) => {
        const all = [...(await admin.settings())].map(([name, value]) => ({ name, value }));
        const columns = {
          NAME: (one: { name: string }) => one.name,
          VALUE: (one: { value: string }) => one.value,
        };
        printTable(all, { json, columns, empty: 'Nothing is set.' });
      }),
    );
  settings
    .command('get <name>')
    .description('show one setting; nothing when it is not set')
    .action(
      withAdmin(async ({ admin, json }, name: string) => {
        const value = await admin.setting(name);
        printDone(value, { name, value }, { json });
      }),
    );
  settings
    .command('set <name> <value>')
    .description('change a setting; every tracker knows it within 4 seconds')
    .action(
      withAdmin(async ({ admin, json }, name: string, value: string) => {
        await admin.setSetting(name, value);
        printDone(`${name} is ${value}.`, { name, value }, { json });
      }),
    );
}

const keysSetting = 'slave_keys';

interface ReplicaFlags {
  dsn: string;
  username?: string;
  password?: string;
  weight?: string;
}

function addReplicas(replica: Command, withAdmin: WithAdmin): void {
  replica
    .command('list')
    .description('list replica databases')
    .action(
      withAdmin(async (context) => {
        const { admin, json } = context;
        const rows = [];
        for (const key of await keysOf(context)) {
          const [name = '', weight = '1'] = key.split('=');
          const [dsn = '', user = ''] = (await admin.setting(`slave_${name}`)).split('|');
          rows.push({ name, weight, dsn, user });
        }
        const columns = {
          NAME: (one: { name: string }) => one.name,
          WEIGHT: (one: { weight: string }) => one.weight,
          DSN: (one: { dsn: string }) => one.dsn,
          USER: (one: { user: string }) => one.user,
        };
        printTable(rows, { json, columns, empty: 'There are no replica databases.' });
      }),
    );
  replica
    .command('set <name>')
    .description('add or change a replica database')
    .requiredOption('--dsn <dsn>', 'for example DBI:mysql:mogilefs;host=10.0.0.9')
    .option('--username <name>', 'database user')
    .option('--password <text>', 'its password')
    .option('--weight <n>', 'share of the lookups it gets')
    .action(
      withAdmin(async (context, name: string, flags: ReplicaFlags) => {
        const { admin, json } = context;
        const { dsn, username = '', password = '', weight } = flags;
        await admin.setSetting(`slave_${name}`, [dsn, username, password].join('|'));
        const others = (await keysOf(context)).filter((key) => key.split('=')[0] !== name);
        const entry = weight === undefined ? name : `${name}=${weight}`;
        await admin.setSetting(keysSetting, [...others, entry].join(','));
        printDone(`Replica database ${name} is set.`, { name }, { json });
      }),
    );
  replica
    .command('delete <name>')
    .description('forget a replica database')
    .action(
      withAdmin(async (context, name: string) => {
        const { admin, json } = context;
        const others = (await keysOf(context)).filter((key) => key.split('=')[0] !== name);
        // Out of the list first: a listed name without an address would be an error.
        await admin.setSetting(keysSetting, others.join(','));
        await admin.setSetting(`slave_${name}`, '');
        printDone(`Replica database ${name} is gone.`, { name }, { json });
      }),
    );
}

async function keysOf({ admin }: AdminContext): Promise<string[]> {
  return (await admin.setting(keysSetting)).split(',').filter((key) => key !== '');
}
