/** Errors of the driver and the server as the errors that the SQL of the store knows. */
import { OmgfsError } from '@omgfs/protocol';

/** The connection or the server is gone, shutting down, full, or not ready to write. */
const lostNumbers = new Set([
  1040, // too many connections
  1044, // access denied to the database
  1045, // access denied
  1047, // Galera: no quorum, not ready
  1049, // unknown database
  1053, // shutdown in progress
  1077, // normal shutdown
  1079, // shutdown complete
  1203, // too many connections of this user
  1290, // read-only server, during a failover
  1792, // read-only transaction, during a failover
  1836, // read-only mode, during a failover
  1927, // connection was killed
  2006, // server has gone away
  2013, // lost connection
  3169, // session was killed
  4031, // idle for too long
]);

/** Deadlock, lock wait timeout, changed record, interrupted: the transaction can be run again. */
const busyNumbers = new Set([1020, 1205, 1213, 1317, 3101, 3572]);

const noQuorumNumber = 1047;
/** What an operator is told of a Galera node that can only be looked at. */
export const noQuorum =
  'the Galera node has no quorum, or is not ready yet; look at its neighbours';

const missingTableNumber = 1146;
/** What who has rights to single tables is told of any other, whether it exists or not. */
const deniedTableNumber = 1142;

const duplicateNumbers = new Set([1062, 1586]);

/** Out of range in two places of the server, and no next automatic number. */
const rangeNumbers = new Set([167, 1264, 1467]);
const fidTooLarge =
  'a fid is too large for its column; where fids have 32 bits, widen them to BIGINT in all tables';

function isFidTooLarge(number: number, message: string): boolean {
  return rangeNumbers.has(number) && (number === 1467 || /'fid'/.test(message));
}

/** @returns DUPLICATE, DB_BUSY, DB_DOWN or FAILURE. */
export function mysqlError(thrown: unknown): OmgfsError {
  if (thrown instanceof OmgfsError) return thrown;
  const error = (thrown ?? {}) as { errno?: unknown; code?: unknown; fatal?: unknown };
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const number = typeof error.errno === 'number' ? error.errno : 0;
  const text = isFidTooLarge(number, message)
    ? `${fidTooLarge} (${message})`
    : number === noQuorumNumber
      ? `${message}: ${noQuorum}`
      : message;
  const options = { message: `Database: ${text.replaceAll(/\s+/g, ' ')}`, cause: thrown };
  if (duplicateNumbers.has(number)) return new OmgfsError('DUPLICATE', options);
  if (busyNumbers.has(number)) return new OmgfsError('DB_BUSY', options);
  if (lostNumbers.has(number) || error.fatal === true || isSocketError(error.code)) {
    return new OmgfsError('DB_DOWN', options);
  }
  return new OmgfsError('FAILURE', options);
}

/** Whether an error of `mysqlError` says that a table does not exist. */
export function isMissingTable(error: unknown): boolean {
  return numberOf(error) === missingTableNumber;
}

/** Whether it may be so, for all that this user of the database can see. */
export function isUnseenTable(error: unknown): boolean {
  return isMissingTable(error) || numberOf(error) === deniedTableNumber;
}

function numberOf(error: unknown): unknown {
  const cause = error instanceof OmgfsError ? error.cause : undefined;
  return (cause as { errno?: unknown } | undefined)?.errno;
}

/** Codes of the system and of the driver, which has no numbers for the loss of a connection. */
function isSocketError(code: unknown): boolean {
  if (typeof code !== 'string') return false;
  return (
    code.startsWith('PROTOCOL_') ||
    code.startsWith('ERR_STREAM_') ||
    /^E(CONN|PIPE|TIMEDOUT|NOENT|HOST|NET|NOTFOUND)/.test(code)
  );
}
