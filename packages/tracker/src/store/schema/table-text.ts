/**
 * Facts of a table out of the text of SHOW CREATE TABLE. That statement and not information_schema,
 * whose temporary tables have crashed MariaDB 10.11 in our tests. Pure.
 */

export interface TableFacts {
  /** Definition of each column in lower case, without its name. */
  columns: ReadonlyMap<string, string>;
  /** Key definitions as the server prints them. */
  keys: readonly string[];
  engine: string;
  /** Charset and collation that the table gives to its columns; empty where it is not printed. */
  charset: string;
  collation: string;
}

/** Reads the answer of MySQL or MariaDB. */
export function parseTable(text: string): TableFacts {
  const columns = new Map<string, string>();
  const keys: string[] = [];
  for (const line of text.split('\n').slice(1)) {
    const column = /^\s+`([^`]+)`\s+(.*?),?$/.exec(line);
    if (column !== null) columns.set(column[1] ?? '', (column[2] ?? '').toLowerCase());
    else if (/^\s+(?:PRIMARY |UNIQUE )?KEY /.test(line)) keys.push(line.trim().replace(/,$/, ''));
  }
  const tail = text.slice(text.lastIndexOf('\n)'));
  const option = (pattern: RegExp) => pattern.exec(tail)?.[1]?.toLowerCase() ?? '';
  return {
    columns,
    keys,
    engine: option(/ENGINE=(\w+)/),
    charset: option(/CHARSET=(\w+)/),
    collation: option(/COLLATE=(\w+)/),
  };
}

/** Bits of an integer column by its definition: 32 or 64 for fids. */
export function fidBits(definition: string | undefined): 32 | 64 {
  return definition?.startsWith('bigint') === false ? 32 : 64;
}
