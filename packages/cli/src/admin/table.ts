/** Lists for people as aligned columns, for scripts as one JSON value a line. */
import { printJson, printLine, shownKey } from '../output.ts';

type Cell = string | number | null | undefined;

/** A column: its title and what it shows of an item. */
export type Columns<Item> = Readonly<Record<string, (item: Item) => Cell>>;

export function printTable<Item>(
  items: readonly Item[],
  { json, columns, empty }: { json: boolean; columns: Columns<Item>; empty?: string },
): void {
  if (json) {
    for (const item of items) printJson(item);
    return;
  }
  if (items.length === 0) {
    if (empty !== undefined) printLine(empty);
    return;
  }
  const titles = Object.keys(columns);
  const rows = items.map((item) => Object.values(columns).map((show) => show(item) ?? '-'));
  const widths = titles.map((title, at) => {
    return Math.max(title.length, ...rows.map((row) => String(row[at]).length));
  });
  const line = (cells: readonly Cell[]) =>
    cells
      .map((cell, at) => {
        const width = widths[at] ?? 0;
        return typeof cell === 'number' ? String(cell).padStart(width) : `${cell}`.padEnd(width);
      })
      .join('  ')
      .trimEnd();
  printLine(line(titles));
  for (const row of rows) printLine(shownKey(line(row)));
}

/** Names and values below each other. */
export function printFacts(
  facts: Readonly<Record<string, Cell>>,
  { json }: { json: boolean },
): void {
  if (json) {
    printJson(facts);
    return;
  }
  const width = Math.max(...Object.keys(facts).map((name) => name.length));
  for (const [name, value] of Object.entries(facts)) {
    printLine(`${name.padEnd(width)}  ${shownKey(String(value ?? '-'))}`);
  }
}

/** Says that it is done: a sentence for people, the changed object for scripts. */
export function printDone(sentence: string, value: object, { json }: { json: boolean }): void {
  if (json) printJson(value);
  else printLine(sentence);
}
