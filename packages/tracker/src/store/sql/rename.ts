/** Giving files other keys: one at a time, or all keys with a prefix at once. */
import { limits, OmgfsError } from '@omgfs/protocol';
import type { FilesStore } from '../store.ts';
import { deleteFids, queueDeletions } from './close.ts';
import type { Engine, Row, Session } from './engine.ts';
import { currentFiles } from './files.ts';
import { keyRange } from './keys.ts';
import { int, text } from './row.ts';
import { bytes, integer, listMax } from './statements.ts';

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
      if (!isTaken(error)) throw error;
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

/** See the contract. A page of keys is in memory at a time, however many there are. */
export async function renamePrefix(
  engine: Engine,
  request: Parameters<FilesStore['renamePrefix']>[0],
): ReturnType<FilesStore['renamePrefix']> {
  const { from, to, max } = request;
  let first: { fid: number; key: string } | undefined;
  const keyOf = (row: Row) => to + text(row, 'dkey').slice(from.length);
  try {
    return await engine.transaction(
      async (session) => {
        first = undefined;
        let count = 0;
        for (let after = ''; ; ) {
          const rows = await keyPage(engine, session, { ...request, after });
          const last = rows.at(-1);
          if (last === undefined) return count;
          first ??= { fid: int(last, 'fid'), key: keyOf(last) };
          count += rows.length;
          if (count > max) throw new OmgfsError('TOO_MANY_KEYS');
          await rename(
            session,
            rows.map((row) => ({ fid: int(row, 'fid'), key: keyOf(row) })),
          );
          after = text(last, 'dkey');
        }
      },
      async (session) => {
        return first === undefined || hasKey(engine, session, first.fid, first.key);
      },
    );
  } catch (error) {
    if (isTaken(error)) throw new OmgfsError('KEY_EXISTS', { cause: error });
    throw error;
  }
}

/** Rows of keys with the prefix, locked; those renamed already are not among them. */
async function keyPage(
  { dialect }: Engine,
  session: Session,
  request: { dmid: number; from: string; after: string },
): Promise<Row[]> {
  const { sql, values } = keyRange(dialect, { prefix: request.from, caseSensitive: true });
  // Unique key (dmid, dkey).
  return session.rows(
    `SELECT f.fid, ${dialect.keyColumn} AS dkey FROM file f
     WHERE f.dmid = ? AND f.dkey > ${dialect.keyMark}${sql}
     ORDER BY f.dkey LIMIT ${integer(listMax)}${dialect.forUpdate}`,
    [request.dmid, bytes(request.after), ...values],
  );
}

async function rename(
  session: Session,
  files: readonly { fid: number; key: string }[],
): Promise<void> {
  if (files.some(({ key }) => key.length > limits.keyBytesMax)) {
    throw new OmgfsError('KEY_TOO_LONG', {
      message: 'A key below the folder would become longer than 255 bytes; nothing was renamed.',
    });
  }
  const cases = files.map(
    ({ fid, key }) => `WHEN ${integer(fid)} THEN x'${bytes(key).toString('hex')}'`,
  );
  const fids = files.map(({ fid }) => integer(fid)).join(', ');
  // Primary key; the unique key refuses names that are taken, and the transaction fails whole.
  await session.runLiteral(
    `UPDATE file SET dkey = CASE fid ${cases.join(' ')} END WHERE fid IN (${fids})`,
  );
}

/** Whether a rename was committed; locking waits for one that the server still works on. */
async function hasKey(
  { dialect }: Engine,
  session: Session,
  fid: number,
  key: string,
): Promise<boolean> {
  const sql = `SELECT ${dialect.keyColumn} AS dkey FROM file f WHERE fid = ?${dialect.forUpdate}`;
  const [row] = await session.rows(sql, [fid]);
  return row !== undefined && text(row, 'dkey') === key;
}

function isTaken(error: unknown): boolean {
  return error instanceof OmgfsError && error.code === 'DUPLICATE';
}
