/**
 * What `mogdbsetup` does: the database and its account if the account cannot log in, then the
 * schema. It asks before each of them, as the original does, and can be run again at any time.
 */
import { toOmgfsError } from '@omgfs/protocol';
import type { Dsn, MySqlDsn } from '../store/dsn.ts';
import { openEngine } from '../store/open-store.ts';
import { accountStatements, canEnter, runAsAdministrator } from '../store/schema/accounts.ts';
import type { SetupOptions } from './arguments.ts';

export interface SetupTerminal {
  /** A line for the person. */
  say(line: string): void;
  /** Asks a question. @returns the answer; undefined when nobody is there to answer. */
  ask(question: string): Promise<string | undefined>;
}

/** The person said no, or could not be asked. */
export class Declined extends Error {}

/**
 * Sets up or upgrades the database.
 * @throws Declined; OmgfsError with the words of the server, SCHEMA_TOO_NEW for a newer schema,
 * SCHEMA_MISSING for one older than can be upgraded.
 */
export async function setUpDatabase(options: SetupOptions, terminal: SetupTerminal): Promise<void> {
  const { type, host, database, verbose, keepVersion } = options;
  const name = type === 'SQLite' ? `the file ${database}` : `database '${database}' on ${host}`;
  terminal.say(`This sets up or upgrades ${name}. It does not remove existing data.`);
  await confirm(options, terminal, { question: 'Continue? [N/y]: ', fallback: 'n' });
  const dsn = dsnOf(options);
  if (dsn.engine === 'mysql') await makeAccount(dsn, options, terminal);
  await confirm(options, terminal, {
    question: `Create or upgrade the tables in ${name}? [Y/n]: `,
    fallback: 'y',
  });
  let statements = 0;
  const engine = await openEngine(dsn, {
    createSchema: true,
    upgrade: true,
    keepVersion,
    onStatement: (sql) => {
      statements += 1;
      if (verbose) terminal.say(`${sql};`);
    },
  });
  await engine.close();
  terminal.say(
    statements === 0
      ? 'The schema is complete already; nothing was changed.'
      : `Done: ${statements} statements. The tracker's DSN is ${dsnText(options)}`,
  );
}

async function makeAccount(
  dsn: MySqlDsn,
  options: SetupOptions,
  terminal: SetupTerminal,
): Promise<void> {
  if (await canEnter(dsn)) return;
  const { database, user, verbose } = options;
  await confirm(options, terminal, {
    question: `Create database '${database}' and give '${user}' all rights in it? [Y/n]: `,
    fallback: 'y',
  });
  const statements = accountStatements(dsn);
  if (verbose) for (const sql of statements) terminal.say(`${withoutPassword(sql)};`);
  const administrator = { ...dsn, user: options.rootUser, password: options.rootPassword };
  await runAsAdministrator(administrator, statements).catch((error: unknown) => {
    const said = statements.map((sql) => `  ${withoutPassword(sql)};`).join('\n');
    const advice = `as '${options.rootUser}'. Name one who may run this, by --dbrootuser`;
    throw new Error(
      `${toOmgfsError(error).message}, ${advice}, or let an administrator run it:\n${said}`,
    );
  });
  if (await canEnter(dsn)) return;
  throw new Error(
    `the account '${user}' exists with another password, which stays as it is; give that password`,
  );
}

function withoutPassword(sql: string): string {
  return sql.replace(/IDENTIFIED BY .*/s, "IDENTIFIED BY '…'");
}

async function confirm(
  { yes }: SetupOptions,
  terminal: SetupTerminal,
  { question, fallback }: { question: string; fallback: 'y' | 'n' },
): Promise<void> {
  if (yes) return;
  const answer = await terminal.ask(question);
  if (answer === undefined) throw new Declined('nobody is there to answer; --yes asks nothing');
  if (/^y/i.test(answer.trim() || fallback)) return;
  throw new Declined('stopped; what was done so far stays');
}

function dsnOf({ type, host, port, database, user, password }: SetupOptions): Dsn {
  if (type === 'SQLite') return { engine: 'sqlite', file: database };
  const local = host === 'localhost' && port !== undefined;
  return {
    engine: 'mysql',
    database,
    host: local ? '127.0.0.1' : host,
    port: port ?? 3306,
    socketPath: undefined,
    user,
    password,
  };
}

function dsnText({ type, host, port, database }: SetupOptions): string {
  if (type === 'SQLite') return `DBI:SQLite:${database}`;
  return `DBI:mysql:${database};host=${host}${port === undefined ? '' : `;port=${port}`}`;
}
