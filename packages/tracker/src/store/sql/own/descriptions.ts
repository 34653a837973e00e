/** The statements of the descriptions of files; a table of ours that MogileFS never notices. */
import { limits } from '@omgfs/protocol';
import { Batcher } from '../../../batcher.ts';
import type {
  DescriptionRow,
  DescriptionStore,
  StoredDescription,
} from '../../description-store.ts';
import type { Engine, Row } from '../engine.ts';
import { int, intOrNull, textOrNull } from '../row.ts';
import { bytes, chunks, integer, marks, padded, Raw, tuples } from '../statements.ts';
import { OwnTable } from './own-table.ts';

const columns = ['utime', 'ctype', 'name', 'meta'];
const creation = `CREATE TABLE IF NOT EXISTS omg_file_meta (
  fid BIGINT NOT NULL, utime BIGINT NOT NULL,
  ctype VARBINARY(${limits.contentTypeBytesMax}),
  name VARBINARY(${limits.filenameBytesMax}), meta VARBINARY(${limits.metadataBytesMax}),
  PRIMARY KEY (fid))`;

export function createDescriptionStore(engine: Engine): DescriptionStore {
  const table = new OwnTable(engine, creation);
  const writes = new Batcher<DescriptionRow, undefined>({
    rowsMax: limits.storeBatchRowsMax,
    queueMax: limits.storeQueueMax,
    inFlightMax: 1,
    conflictKeys: ({ fid }) => [String(fid)],
    send: (rows) => table.write(() => write(engine, rows)),
  });
  return {
    write: (row) => writes.run(row),
    of: (fids) => table.read(new Map(), () => descriptionsOf(engine, fids)),
    prune: (request) => table.read(undefined, () => prune(engine, request)),
  };
}

async function write(engine: Engine, rows: readonly DescriptionRow[]): Promise<undefined[]> {
  const { dialect } = engine;
  const value = (text: string | undefined) => (text === undefined ? null : bytes(text));
  const values = tuples(
    rows.map(({ fid, contentType, filename, metadata }) => {
      const texts = [contentType, filename, metadata].map(value);
      return [fid, new Raw(dialect.now), ...texts];
    }),
  );
  await engine.runLiteral(
    `INSERT INTO omg_file_meta (fid, ${columns.join(', ')}) VALUES ${values}
     ${dialect.overwrite('fid', columns)}`,
  );
  return rows.map(() => undefined);
}

/** Primary key. */
async function descriptionsOf(
  engine: Engine,
  fids: readonly number[],
): Promise<Map<number, StoredDescription>> {
  const found = new Map<number, StoredDescription>();
  for (const part of chunks(fids)) {
    const list = padded(part);
    const rows = await engine.rows(
      `SELECT fid, ${columns.join(', ')} FROM omg_file_meta WHERE fid IN ${marks(list.length)}`,
      list,
    );
    for (const row of rows) found.set(int(row, 'fid'), descriptionOf(row));
  }
  return found;
}

function descriptionOf(row: Row): StoredDescription {
  return {
    fid: int(row, 'fid'),
    utime: int(row, 'utime'),
    contentType: textOrNull(row, 'ctype') ?? undefined,
    filename: textOrNull(row, 'name') ?? undefined,
    metadata: textOrNull(row, 'meta') ?? undefined,
  };
}

/**
 * Primary keys. One statement sees one moment, so that an upload which is closed meanwhile is seen
 * open or stored, and never neither.
 */
async function prune(
  engine: Engine,
  { after, limit }: { after: number; limit: number },
): Promise<number | undefined> {
  const rows = await engine.rows(
    `SELECT m.fid AS fid, f.fid AS stored, t.fid AS opened
     FROM (SELECT fid FROM omg_file_meta WHERE fid > ? ORDER BY fid LIMIT ${integer(limit)}) m
     LEFT JOIN file f ON f.fid = m.fid LEFT JOIN tempfile t ON t.fid = m.fid ORDER BY m.fid`,
    [after],
  );
  const gone = rows.filter((row) => {
    return intOrNull(row, 'stored') === null && intOrNull(row, 'opened') === null;
  });
  for (const part of chunks(gone.map((row) => int(row, 'fid')))) {
    const list = padded(part);
    await engine.run(`DELETE FROM omg_file_meta WHERE fid IN ${marks(list.length)}`, list);
  }
  const last = rows[rows.length - 1];
  return last === undefined || rows.length < limit ? undefined : int(last, 'fid');
}
