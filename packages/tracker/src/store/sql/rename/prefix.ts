/** Giving all files whose keys begin alike other keys at once. */
import { limits, OmgfsError } from '@omgfs/protocol';
import type { FilesStore } from '../../store.ts';
import type { Engine, Row, Session } from '../engine.ts';
import type { Key } from '../files.ts';
import { keyRange } from '../keys.ts';
import { int, text } from '../row.ts';
import { bytes, integer, listMax } from '../statements.ts';
import { hasKey, isDuplicate } from './key.ts';

type Request = Parameters<FilesStore['renamePrefix']>[0];

/** As long as a client may wait for others that rename. */
const othersMs = 30_000;

/**
 * See the contract. A page of keys is in memory at a time, however many there are, unless `changed`
 * is given: it gets the old and the new keys.
 */
export async function renamePrefix(
  engine: Engine,
  request: Request,
  changed?: Key[],
): Promise<number> {
  if (request.free !== true) return renameAll(engine, request, { changed });
  // No row says that a prefix is free, so that two could find it so: one at a time in each domain.
  const lock = { name: `omg:rename:${request.dmid}`, waitMs: othersMs };
  const count = await engine.withLock(lock, (lost) => {
    return renameAll(engine, request, { changed, lost });
  });
  if (count !== undefined) return count;
  throw new OmgfsError('DB_BUSY', { message: 'Other folders are renamed; ask again.' });
}

async function renameAll(
  engine: Engine,
  request: Request,
  { changed, lost }: { changed?: Key[] | undefined; lost?: AbortSignal },
): Promise<number> {
  const { dmid, from, to, max } = request;
  let first: { fid: number; key: string } | undefined;
  const keyOf = (row: Row) => to + text(row, 'dkey').slice(from.length);
  try {
    return await engine.transaction(
      async (session) => {
        first = undefined;
        changed?.splice(0);
        if (request.free && (await isTaken(engine, session, { dmid, prefix: to }))) {
          throw new OmgfsError('KEY_EXISTS', { message: 'There are files below the new name.' });
        }
        let count = 0;
        for (let after = ''; ; ) {
          const rows = await keyPage(engine, session, { ...request, after });
          const last = rows.at(-1);
          if (last === undefined) {
            if (lost?.aborted) throw new OmgfsError('DB_BUSY');
            return count;
          }
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
    if (isDuplicate(error)) throw new OmgfsError('KEY_EXISTS', { cause: error });
    throw error;
  }
}

async function isTaken(
  { dialect }: Engine,
  session: Session,
  { dmid, prefix }: { dmid: number; prefix: string },
): Promise<boolean> {
  const { sql, values } = keyRange(dialect, { prefix, caseSensitive: true });
  // Unique key (dmid, dkey).
  const found = await session.rows(`SELECT f.fid FROM file f WHERE f.dmid = ?${sql} LIMIT 1`, [
    dmid,
    ...values,
  ]);
  return found.length > 0;
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
