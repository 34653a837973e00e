/** Looks at an existing database before a take-over and says what it finds; changes nothing. */
import { parseDsn } from '../../store/dsn.ts';
import { inspectDatabase } from '../../store/schema/inspect.ts';
import { type Finding, judge } from './judge.ts';

export interface DoctorRequest {
  dsn: string;
  user: string;
  password: string;
}

/**
 * @throws BAD_PARAMS for a DSN that cannot be used; DB_DOWN when the database cannot be reached or
 * does not answer; FAILURE for the rest.
 */
export async function examineDatabase({ dsn, user, password }: DoctorRequest): Promise<Finding[]> {
  return judge(await inspectDatabase(parseDsn(dsn, { user, password })));
}
