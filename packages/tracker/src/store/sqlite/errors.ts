/** SQLite's result codes as the errors that the SQL of the store knows. */
import { OmgfsError } from '@omgfs/protocol';

const busy = new Set([5, 6]);
const unusable = new Set([8, 10, 11, 13, 14, 26]);
const duplicate = new Set([1555, 2067, 2579]);

/** @returns DUPLICATE, DB_BUSY, DB_DOWN (disk full, unreadable or no database) or FAILURE. */
export function sqliteError(thrown: unknown): OmgfsError {
  if (thrown instanceof OmgfsError) return thrown;
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  const { errcode, code } = (thrown ?? {}) as { errcode?: unknown; code?: unknown };
  const extended = typeof errcode === 'number' ? errcode : 0;
  const options = { message: `SQLite: ${message}`, cause: thrown };
  if (duplicate.has(extended)) return new OmgfsError('DUPLICATE', options);
  if (busy.has(extended & 0xff)) return new OmgfsError('DB_BUSY', options);
  if (unusable.has(extended & 0xff) || code === 'ERR_INVALID_STATE') {
    return new OmgfsError('DB_DOWN', options);
  }
  return new OmgfsError('FAILURE', options);
}

/** Whether an error of `sqliteError` says that a table does not exist; there is no code for it. */
export function isMissingTable(error: unknown): boolean {
  const cause = error instanceof OmgfsError ? error.cause : undefined;
  return cause instanceof Error && /^no such table: /.test(cause.message);
}
