/** MySQL's and MariaDB's ways of saying what the SQL of the store needs. */
import { OmgfsError } from '@omgfs/protocol';
import type { Dialect, Session } from '../sql/engine.ts';
import { textOrNull } from '../sql/row.ts';
import { isUnseenTable } from './errors.ts';

/** Looks at the collation of `file.dkey`: bytes on our schemas, anything on MogileFS's. */
export async function detectDialect(session: Session): Promise<Dialect> {
  // The aggregate has a collation also when, as here, it looks at no row.
  const [row] = await session.rows(
    `SELECT CAST(CHARSET(MAX(dkey)) AS BINARY) AS charset,
            CAST(COLLATION(MAX(dkey)) AS BINARY) AS collation FROM file WHERE fid = 0`,
  );
  const charset = (row && textOrNull(row, 'charset')) ?? 'binary';
  const collation = (row && textOrNull(row, 'collation')) ?? 'binary';
  if (charset === 'binary') return mysqlDialect;
  if (!/^\w+$/.test(charset + collation)) {
    throw new OmgfsError('SCHEMA_MISSING', { message: `Unknown collation ${collation} of dkey.` });
  }
  // The bytes of a key are taken for text in the charset of the column, without conversion; with
  // the column's own collation, the comparison uses the unique index and decides as that does.
  const keyMark = `CONVERT(? USING ${charset}) COLLATE ${collation}`;
  return {
    ...mysqlDialect,
    exactKeys: false,
    keyColumn: 'CAST(f.dkey AS BINARY)',
    keyMark,
    pairsIn: (count) => pairsIn(count, keyMark),
  };
}

function pairsIn(count: number, keyMark: string): string {
  return `(f.dmid, f.dkey) IN (${Array(count).fill(`(?, ${keyMark})`).join(', ')})`;
}

const mysqlDialect: Dialect = {
  now: 'UNIX_TIMESTAMP()',
  forUpdate: ' FOR UPDATE',
  forShare: ' LOCK IN SHARE MODE',
  exactKeys: true,
  bytes: (column) => `CAST(${column} AS BINARY)`,
  keyColumn: 'f.dkey',
  keyMark: '?',
  pairsIn: (count) => pairsIn(count, '?'),
  // Not INSERT IGNORE, which turns every other error of the statement into a warning.
  keepRow: (column) => ` ON DUPLICATE KEY UPDATE ${column} = ${column}`,
  keepEarlierTry: ' ON DUPLICATE KEY UPDATE nexttry = LEAST(nexttry, VALUES(nexttry))',
  overwrite: (_, columns) => {
    const set = columns.map((column) => `${column} = VALUES(${column})`);
    return `ON DUPLICATE KEY UPDATE ${set.join(', ')}`;
  },
  isMissingTable: isUnseenTable,
};
