/** The command line of `mogdbsetup`: the original's options, and its freedom to shorten them. */

export interface SetupOptions {
  type: 'MySQL' | 'SQLite';
  host: string;
  port: number | undefined;
  /** Name of the database, or the file of an SQLite one. */
  database: string;
  rootUser: string;
  rootPassword: string;
  user: string;
  password: string;
  /** Asks nothing. */
  yes: boolean;
  /** Shows every statement. */
  verbose: boolean;
  /** Leaves `schema_version` as it is. */
  keepVersion: boolean;
  /** Sentences about options that are accepted but without effect. */
  warnings: readonly string[];
}

export type SetupCommandLine =
  | { action: 'run'; options: SetupOptions }
  | { action: 'help'; text: string }
  | { action: 'refuse'; reason: string };

interface SetupOption {
  name: string;
  value?: string;
  fallback?: string;
  help: string;
}

const optionTable: readonly SetupOption[] = [
  { name: 'type', value: 'TYPE', fallback: 'MySQL', help: 'MySQL (also for MariaDB) or SQLite' },
  {
    name: 'dbhost',
    value: 'HOST',
    fallback: 'localhost',
    help: "the database server; localhost is the server's Unix socket if there is one",
  },
  { name: 'dbport', value: 'PORT', help: 'its port, if it is not 3306' },
  {
    name: 'dbname',
    value: 'NAME',
    fallback: 'mogilefs',
    help: 'the database to create or upgrade; with SQLite its file',
  },
  {
    name: 'dbrootuser',
    value: 'USER',
    fallback: 'root',
    help: 'who may create databases and accounts; not needed when --dbuser can log in already',
  },
  { name: 'dbrootpassword', value: 'WORD', help: 'its password' },
  { name: 'dbuser', value: 'USER', fallback: 'mogile', help: 'the account of the trackers' },
  { name: 'dbpassword', value: 'WORD', help: 'its password' },
  { name: 'yes', help: 'ask nothing' },
  { name: 'verbose', help: 'show every statement before it runs' },
  { name: 'noschemabump', help: 'leave schema_version as it is' },
  { name: 'plugins', value: 'LIST', help: 'accepted for old scripts' },
  { name: 'help', help: 'this text' },
];

/** Reads the arguments; a mistake of a person is refused. */
export function readSetupArguments(argv: readonly string[]): SetupCommandLine {
  try {
    const values = readValues(argv);
    if (values.has('help')) return { action: 'help', text: helpText() };
    return { action: 'run', options: buildOptions(values) };
  } catch (error) {
    return { action: 'refuse', reason: error instanceof Error ? error.message : String(error) };
  }
}

function readValues(argv: readonly string[]): Map<string, string> {
  const values = new Map<string, string>();
  const rest = [...argv];
  for (let argument = rest.shift(); argument !== undefined; argument = rest.shift()) {
    const match = /^--?([A-Za-z]+)(?:=(.*))?$/s.exec(argument);
    if (match === null) throw new Error(`unexpected argument '${argument}'; see --help`);
    const option = findOption(match[1] ?? '');
    if (option.value === undefined) {
      if (match[2] !== undefined) throw new Error(`--${option.name} takes no value`);
      values.set(option.name, '1');
    } else {
      const value = match[2] ?? rest.shift();
      if (value === undefined) throw new Error(`--${option.name} needs a value`);
      values.set(option.name, value);
    }
  }
  return values;
}

/** By its name or the beginning of no other name, as Getopt::Long finds it: `--dbpass`. */
function findOption(given: string): SetupOption {
  const name = given.toLowerCase();
  const exact = optionTable.find((option) => option.name === name);
  const found = exact ? [exact] : optionTable.filter((option) => option.name.startsWith(name));
  if (found.length === 1 && found[0] !== undefined) return found[0];
  const problem = found.length === 0 ? 'unknown' : 'ambiguous';
  throw new Error(`${problem} option --${given}; see --help`);
}

function buildOptions(values: ReadonlyMap<string, string>): SetupOptions {
  const text = (name: string): string =>
    values.get(name) ?? optionTable.find((option) => option.name === name)?.fallback ?? '';
  const type = text('type').toLowerCase();
  if (/^(?:pg|postgres)/.test(type)) throw new Error('PostgreSQL is not supported');
  if (!/^(?:mysql|mariadb|sqlite)$/.test(type)) {
    throw new Error(`--type must be MySQL or SQLite, not '${text('type')}'`);
  }
  const port = values.has('dbport') ? Number(text('dbport')) : undefined;
  if (port !== undefined && !(Number.isInteger(port) && port > 0 && port < 65_536)) {
    throw new Error(`--dbport must be a port, not '${text('dbport')}'`);
  }
  if (text('dbname') === '') throw new Error('--dbname must not be empty');
  const plugins = 'option --plugins has no effect: Perl plugins cannot be loaded';
  return {
    type: type === 'sqlite' ? 'SQLite' : 'MySQL',
    host: text('dbhost'),
    port,
    database: text('dbname'),
    rootUser: text('dbrootuser'),
    rootPassword: text('dbrootpassword'),
    user: text('dbuser'),
    password: text('dbpassword'),
    yes: values.has('yes'),
    verbose: values.has('verbose'),
    keepVersion: values.has('noschemabump'),
    warnings: values.has('plugins') ? [plugins] : [],
  };
}

function helpText(): string {
  const lines = optionTable.map(({ name, value, fallback, help }) => {
    const flag = value === undefined ? `--${name}` : `--${name} ${value}`;
    return `  ${flag.padEnd(24)} ${help}${fallback === undefined ? '' : ` [${fallback}]`}`;
  });
  return [
    'mogdbsetup: creates the database of the trackers, or upgrades an old one to schema 17.',
    'It never removes anything, and a second run changes nothing.',
    '',
    'usage: mogdbsetup [options]',
    '',
    ...lines,
    '',
    'Options may be shortened: --dbpass is --dbpassword, --dbrootpass is --dbrootpassword.',
    '',
    'Try it:  mogdbsetup --type SQLite --dbname /tmp/omgfs.sqlite --yes --verbose',
    '',
    'Exit codes: 0 done, 1 failed, 2 wrong usage, 3 the answer was no.',
    '',
  ].join('\n');
}
