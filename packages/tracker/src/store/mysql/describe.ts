/** Facts of a table on MySQL and MariaDB. */
import { parseTable, type TableFacts } from '../schema/table-text.ts';
import type { Session } from '../sql/engine.ts';
import { text } from '../sql/row.ts';
import { isMissingTable } from './errors.ts';

/** @returns undefined when there is no such table. `table` must be a plain name. */
export async function describeTable(
  session: Pick<Session, 'rows'>,
  table: string,
): Promise<TableFacts | undefined> {
  try {
    const [row] = await session.rows(`SHOW CREATE TABLE ${table}`);
    return row === undefined ? undefined : parseTable(text(row, 'Create Table'));
  } catch (error) {
    if (isMissingTable(error)) return undefined;
    throw error;
  }
}
