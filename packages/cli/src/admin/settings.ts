/** `omgfs admin settings` and `omgfs admin replica`. */
import { OmgfsError } from '@omgfs/protocol';
import { type Command, InvalidArgumentError } from 'commander';
import { numberAbove } from '../numbers.ts';
import type { AdminContext, WithAdmin } from './context.ts';
import { printDone, printTable } from './table.ts';

export function addSettingCommands(admin: Command, withAdmin: WithAdmin): void {
  addSettings(admin.command('settings').description('settings all trackers share'), withAdmin);
  const replica = admin.command('replica').alias('slave');
  addReplicas(replica.description('replica databases for lookups'), withAdmin);
}

function addSettings(settings: Command, withAdmin: WithAdmin): void {
  settings.addHelpText('after', settingsHelp);
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
        const sentence = value === '' ? `${name} is not set any more.` : `${name} is ${value}.`;
        printDone(sentence, { name, value }, { json });
      }),
    );
}

const settingsHelp = `
An empty value leaves a setting to its default.

  omg_heal_after                      seconds until a device that is away counts as lost; 0: never
  omg_pause_<job>                     1 lets a job rest (see omgfs admin jobs)
  omg_device_copies                   copies at once from or to one device
  omg_device_mib_per_second           bound for copying from or to one device
  omg_scrub_mib_per_second            see omgfs admin scrub rate
  queue_rate_for_<fsck|rebal|reaper>  how fast each goes: files a second for fsck, else a round
  queue_size_for_<fsck|rebal|reaper>  how many wait at most
  fsck_checksum                       class, off, MD5 or SHA-1: what fsck compares
  network_zones, zone_<name>          near,far and their networks, for placement
  memcache_servers, memcache_ttl      those that trackers of MogileFS fill
  skip_mkcol, skip_devcount, case_sensitive_list_keys, slave_…   as in MogileFS

Examples:
  omgfs admin settings set omg_heal_after 3600
  omgfs admin settings set omg_heal_after ''
`;

const keysSetting = 'slave_keys';
/** `slave_<name>` with one of these is a setting of its own. */
const takenNames = ['keys', 'lag', 'connect_timeout', 'dead_retry_timeout', 'version'];

function replicaName(text: string): string {
  if (/^[\w.-]+$/.test(text) && !takenNames.includes(text)) return text;
  const taken = takenNames.join(', ');
  throw new InvalidArgumentError(`It must be of A-Z a-z 0-9 _ . - and none of ${taken}.`);
}

/** The setting is three parts with bars between them. */
function withoutBar(text: string): string {
  if (!text.includes('|')) return text;
  throw new InvalidArgumentError("It must not contain '|'.");
}

interface ReplicaFlags {
  dsn: string;
  username?: string;
  password?: string;
  weight?: number;
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
    .command('set')
    .argument('<name>', 'a name of your choice', replicaName)
    .description('add or change a replica database')
    .requiredOption('--dsn <dsn>', 'for example DBI:mysql:mogilefs;host=10.0.0.9', withoutBar)
    .option('--username <name>', 'database user', withoutBar)
    .option('--password <text>', 'its password', withoutBar)
    .option('--weight <n>', 'share of the lookups it gets; 0 takes it out of use', numberAbove(-1))
    .action(
      withAdmin(async (context, name: string, flags: ReplicaFlags) => {
        const { admin, json } = context;
        const { dsn, username = '', password = '', weight } = flags;
        await admin.setSetting(`slave_${name}`, [dsn, username, password].join('|'));
        const keys = await keysOf(context);
        const isThis = (key: string) => key.split('=')[0] === name;
        // Who changes a password means to keep the weight.
        const kept = keys.find(isThis) ?? name;
        const entry = weight === undefined ? kept : `${name}=${weight}`;
        const others = keys.filter((key) => !isThis(key));
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
        const keys = await keysOf(context);
        if (!keys.some((key) => key.split('=')[0] === name)) {
          throw new OmgfsError('BAD_ARGS', { message: `there is no replica database ${name}` });
        }
        const others = keys.filter((key) => key.split('=')[0] !== name);
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
