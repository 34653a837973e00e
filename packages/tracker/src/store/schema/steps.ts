/**
 * What changed from schema 6 to 17 besides new tables (spec §3.3), as columns that must be there
 * and what they must look like. Pure: facts of the tables in, statements out.
 */

export interface ColumnStep {
  /** The schema version that brought it; 0 where the original never numbered it. */
  version: number;
  table: string;
  column: string;
  /** Definition. No type of SQLite is too narrow, so that it only gets columns that are missing. */
  type: string;
  /** Whether the definition of an existing column, in lower case, will do. */
  accepts: RegExp;
  /** Further clause when the column is new. */
  index?: string;
}

const anyType = /^/;

export const columnSteps: readonly ColumnStep[] = [
  {
    version: 0,
    table: 'host',
    column: 'http_get_port',
    type: 'MEDIUMINT UNSIGNED',
    accepts: anyType,
  },
  {
    version: 0,
    table: 'host',
    column: 'altip',
    type: 'VARCHAR(15)',
    accepts: anyType,
    index: 'UNIQUE KEY altip (altip)',
  },
  { version: 0, table: 'host', column: 'altmask', type: 'VARCHAR(18)', accepts: anyType },
  {
    version: 0,
    table: 'device',
    column: 'weight',
    type: 'MEDIUMINT DEFAULT 100',
    accepts: anyType,
  },
  { version: 0, table: 'device', column: 'mb_asof', type: 'INT UNSIGNED', accepts: anyType },
  {
    version: 9,
    table: 'device',
    column: 'status',
    type: "ENUM('alive', 'dead', 'down', 'readonly', 'drain')",
    accepts: /'drain'/,
  },
  { version: 10, table: 'class', column: 'replpolicy', type: 'VARCHAR(255)', accepts: anyType },
  { version: 13, table: 'server_settings', column: 'value', type: 'TEXT', accepts: /text|blob/ },
  { version: 13, table: 'file_to_queue', column: 'arg', type: 'TEXT', accepts: /text|blob/ },
  { version: 14, table: 'device', column: 'mb_total', type: 'INT UNSIGNED', accepts: /^(big)?int/ },
  { version: 14, table: 'device', column: 'mb_used', type: 'INT UNSIGNED', accepts: /^(big)?int/ },
  { version: 15, table: 'class', column: 'hashtype', type: 'TINYINT UNSIGNED', accepts: anyType },
  {
    version: 17,
    table: 'host',
    column: 'status',
    type: "ENUM('alive', 'dead', 'down', 'readonly')",
    accepts: /'readonly'/,
  },
];

/** The statement that a step needs; undefined when the column is as it must be. */
export function alterStatement(
  step: ColumnStep,
  { engine, definition }: { engine: 'mysql' | 'sqlite'; definition: string | undefined },
): string | undefined {
  const { table, column, type, accepts, index } = step;
  if (engine === 'sqlite') {
    if (definition !== undefined) return undefined;
    return `ALTER TABLE ${table} ADD COLUMN ${column} ${type}`;
  }
  if (definition === undefined) {
    const also = index === undefined ? '' : `, ADD ${index}`;
    return `ALTER TABLE ${table} ADD COLUMN ${column} ${type}${also}`;
  }
  if (accepts.test(definition)) return undefined;
  return `ALTER TABLE ${table} MODIFY COLUMN ${column} ${type}`;
}
