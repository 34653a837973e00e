/** Giving a file another key. */
import { OmgfsError } from '@omgfs/protocol';
import type { FilesStore } from '../../store.ts';
import { deleteFids, queueDeletions } from '../close.ts';
import type { Engine, Session } from '../engine.ts';
import { currentFiles } from '../files.ts';
import { int, text } from '../row.ts';
import { bytes } from '../statements.ts';

/** Tries when another tracker stored the wanted key between our look and our update. */
const attemptsMax = 5;

/** See the contract. */
export async function renameKey(
  engine: Engine,
  request: Parameters<FilesStore['renameKey']>[0],
): ReturnType<FilesStore['renameKey']> {
  for (let attempt = 1; ; attempt += 1) {
    let fid = 0;
    try {
      return await engine.transaction(
        async (session) => {
          const found = await renameOne(engine, session, request);
          fid = found ?? 0;
          return found === undefined ? 'unknown_key' : 'renamed';
        },
        async (session, result) => {
          return result === 'unknown_key' || (await hasKey(engine, session, fid, request.to));
        },
      );
    } catch (error) {
      if (!isDuplicate(error)) throw error;
      if (request.replace !== true || attempt === attemptsMax) return 'key_exists';
    }
  }
}

/** @returns the fid; undefined when there is none. @throws DUPLICATE. */
async function renameOne(
  engine: Engine,
  session: Session,
  { dmid, from, to, replace = false }: Parameters<FilesStore['renameKey']>[0],
): Promise<number | undefined> {
  const { dialect } = engine;
  const wanted = replace ? [from, to] : [from];
  const keys = wanted.map((dkey) => ({ dmid, dkey }));
  const rows = await currentFiles({ session, dialect, keys, lock: true });
  const [fid, old] = rows.map((row) => (row === undefined ? undefined : int(row, 'fid')));
  if (fid === undefined) return undefined;
  // Two spellings of one key may be one row on schemas that compare loosely.
  if (old !== undefined && old !== fid) {
    await deleteFids(session, 'file', [old]);
    await queueDeletions(engine, session, [old]);
  }
  // Primary key; the unique key refuses a name that is taken.
  await session.run('UPDATE file SET dkey = ? WHERE fid = ?', [bytes(to), fid]);
  return fid;
}

/** Whether a rename was committed; locking waits for one that the server still works on. */
export async function hasKey(
  { dialect }: Engine,
  session: Session,
  fid: number,
  key: string,
): Promise<boolean> {
  const sql = `SELECT ${dialect.keyColumn} AS dkey FROM file f WHERE fid = ?${dialect.forUpdate}`;
  const [row] = await session.rows(sql, [fid]);
  return row !== undefined && text(row, 'dkey') === key;
}

export function isDuplicate(error: unknown): boolean {
  return error instanceof OmgfsError && error.code === 'DUPLICATE';
}
