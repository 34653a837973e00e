/**
 * What a Galera cluster needs of a session. A node may lag behind a commit that another node has
 * answered, unless it is told to wait for what was committed before the statement began.
 */
import { OmgfsError } from '@omgfs/protocol';
import type { Session } from '../sql/engine.ts';
import { textOrNull } from '../sql/row.ts';

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
