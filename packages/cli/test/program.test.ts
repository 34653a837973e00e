/** Goal: what a command offers is its own. Method: the commands as they are declared. */
import type { Command } from 'commander';
import { expect, test } from 'vitest';
import { createProgram } from '../src/program.ts';

function below(command: Command): Command[] {
  return command.commands.flatMap((child) => [child, ...below(child)]);
}

test('no command has an option that all commands have already', () => {
  const program = createProgram({ json: true });
  const taken = new Set(program.options.flatMap(({ short, long }) => [short, long]));
  const doubled = below(program).flatMap((command) => {
    return command.options
      .filter(({ short, long }) => (short && taken.has(short)) || (long && taken.has(long)))
      .map(({ flags }) => `${command.name()} ${flags}`);
  });
  expect(doubled).toEqual([]);
});
