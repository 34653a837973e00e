/** `omgfs doctor`: what omgfs finds in an existing database. It needs no tracker. */
import type { Finding } from '@omgfs/tracker';
import { printError, printJson, printLine } from '../output.ts';

export interface DoctorFlags {
  db: string;
  dbuser: string;
  dbpass: string;
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
  const { db, dbuser, dbpass, json } = flags;
  // Only this command needs the tracker, which takes longer to load than all else.
  const { examineDatabase } = await import('@omgfs/tracker');
  const findings = await examineDatabase({ dsn: db, user: dbuser, password: dbpass }).catch(
    (error) => {
      printError(error, { json });
      throw new NotFine(2);
    },
  );
  for (const finding of findings) {
    if (json) printJson(finding);
    else printLine(lineOf(finding));
  }
  const unsafe = findings.filter(({ level }) => level === 'unsafe').length;
  if (!json) printLine(unsafe === 0 ? 'Nothing unsafe.' : `Unsafe: ${unsafe}. Solve these first.`);
  if (unsafe > 0) throw new NotFine(1);
}

function lineOf({ level, about, text }: Finding): string {
  return `${level.padEnd(6)}  ${about.padEnd(17)}  ${text}`;
}
