/**
 * What a Galera cluster needs of a session. A node may lag behind a commit that another node has
 * answered, unless it is told to wait for what was committed before the statement began.
 */
import { OmgfsError } from '@omgfs/protocol';
import type { Session } from '../sql/engine.ts';
import { text, textOrNull } from '../sql/row.ts';
import { noQuorum } from './errors.ts';

/**
 * Reads and BEGIN (1), UPDATE and DELETE (2) see all that was committed on any node before. An
 * INSERT need not wait: its keys are compared with those of other nodes when it commits.
 */
export const galeraSettings = 'SET SESSION wsrep_sync_wait = 3';

const unknownVariableNumber = 1193;

/** Whether the server is a node of a Galera cluster. */
export async function isGalera(session: Session): Promise<boolean> {
  try {
    const [row] = await session.rows(
      `SELECT @@wsrep_on AS replicates, CAST(@@wsrep_provider AS BINARY) AS provider`,
    );
    const provider = row === undefined ? null : textOrNull(row, 'provider');
    return Number(row?.replicates) === 1 && provider !== null && !/^(?:none)?$/.test(provider);
  } catch (error) {
    const cause = error instanceof OmgfsError ? error.cause : undefined;
    if ((cause as { errno?: unknown } | undefined)?.errno === unknownVariableNumber) return false;
    throw error;
  }
}

const lockWaitNumber = 1205;

/**
 * What an error of a node means: one without quorum answers prepared statements that it should wait
 * for others with "lock wait timeout", which would be tried again for long.
 */
export async function galeraError(error: OmgfsError, session: Session): Promise<OmgfsError> {
  if ((error.cause as { errno?: unknown } | undefined)?.errno !== lockWaitNumber) return error;
  // A node that cannot even say this is not ready either.
  const [row] = await session.rows("SHOW STATUS LIKE 'wsrep_ready'").catch(() => []);
  if (row !== undefined && text(row, 'Value') === 'ON') return error;
  const message = `Database: WSREP is not ready: ${noQuorum}`;
  return new OmgfsError('DB_DOWN', { message, cause: error });
}
