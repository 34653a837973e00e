/** Giving all files whose keys begin alike other keys at once. */
import { limits, OmgfsError } from '@omgfs/protocol';
import type { FilesStore } from '../../store.ts';
import type { Engine, Row, Session } from '../engine.ts';
import type { Key } from '../files.ts';
import { keyRange } from '../keys.ts';
import { int, text } from '../row.ts';
import { bytes, integer, listMax } from '../statements.ts';
import { hasKey, isTaken } from './key.ts';

/**
 * See the contract. A page of keys is in memory at a time, however many there are, unless `changed`
 * is given: it gets the old and the new keys.
 */
export async function renamePrefix(
  engine: Engine,
  request: Parameters<FilesStore['renamePrefix']>[0],
  changed?: Key[],
): ReturnType<FilesStore['renamePrefix']> {
  const { dmid, from, to, max } = request;
  let first: { fid: number; key: string } | undefined;
  const keyOf = (row: Row) => to + text(row, 'dkey').slice(from.length);
  try {
    return await engine.transaction(
      async (session) => {
        first = undefined;
        changed?.splice(0);
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
          for (const row of changed === undefined ? [] : rows) {
            changed?.push({ dmid, dkey: text(row, 'dkey') }, { dmid, dkey: keyOf(row) });
          }
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
