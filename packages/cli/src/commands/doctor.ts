/** `omgfs doctor`: what omgfs finds in an existing database. It needs no tracker. */
import { OmgfsError } from '@omgfs/protocol';
import type { Finding } from '@omgfs/tracker';
import { printError, printJson, printLine } from '../output.ts';

export interface DoctorFlags {
  config?: string;
  /** These three win over what the file says. */
  db?: string;
  dbuser?: string;
  dbpass?: string;
}

/** Everything was printed; the process is to end with this code. */
export class NotFine extends Error {
  readonly exitCode: 1 | 2;

  constructor(exitCode: 1 | 2) {
    super('doctor');
    this.exitCode = exitCode;
  }
}

/** @throws NotFine with 1 when something is unsafe, 2 when the database could not be looked at. */
export async function doctorCommand(flags: DoctorFlags & { json: boolean }): Promise<void> {
  const { json } = flags;
  const findings = await examine(flags).catch((error) => {
    printError(error, { json });
    throw new NotFine(2);
  });
  for (const finding of findings) {
    if (json) printJson(finding);
    else printLine(lineOf(finding));
  }
  const unsafe = findings.filter(({ level }) => level === 'unsafe').length;
  if (!json) printLine(unsafe === 0 ? 'Nothing unsafe.' : `Unsafe: ${unsafe}. Solve these first.`);
  if (unsafe > 0) throw new NotFine(1);
}

async function examine({ config: file, db, dbuser, dbpass }: DoctorFlags): Promise<Finding[]> {
  if (file === undefined && db === undefined) {
    throw new OmgfsError('BAD_ARGS', { message: 'Name the database: --config FILE or --db DSN.' });
  }
  // Only this command needs the tracker, which takes longer to load than all else.
  const { examineDatabase, readConfig } = await import('@omgfs/tracker');
  const line = readConfig(file === undefined ? ['--skipconfig'] : ['--config', file]);
  if (line.action !== 'run') {
    const message = line.action === 'refuse' ? line.reason : '';
    throw new OmgfsError('BAD_ARGS', { message: `mogilefsd would refuse to start: ${message}` });
  }
  const { dsn, dbUser, dbPassword, warnings } = line.config;
  const login = { user: dbuser ?? dbUser, password: dbpass ?? dbPassword };
  return [
    ...warnings.map((text): Finding => ({ level: 'note', about: 'config', text })),
    ...(await examineDatabase({ dsn: db ?? dsn, ...login })),
  ];
}

function lineOf({ level, about, text }: Finding): string {
  return `${level.padEnd(6)}  ${about.padEnd(17)}  ${text}`;
}
