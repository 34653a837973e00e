/**
 * Goal: a log that nobody can take never stops or ends a tracker, and the loss is told.
 * Method: the built log in a process of its own, on a full device and on a pipe nobody reads.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';

const log = fileURLToPath(new URL('../dist/log.js', import.meta.url));
const script = `
  const { createLog } = await import(${JSON.stringify(log)});
  const log = createLog({ role: 'test', level: 'info' });
  for (let i = 0; i < 30000; i += 1) log.info({ i, x: 'y'.repeat(100) }, 'many');
  process.stderr.write('written\\n');
  process.stdin.on('data', () => log.info({}, 'late'));
`;
const args = ['--input-type=module', '-e', script];

test('a full disk', () => {
  const command = '"$0" "$@" > /dev/full 2> /dev/null < /dev/null';
  execFileSync('sh', ['-c', command, process.execPath, ...args], { timeout: 20_000 });
});

test('I7: a pipe that nobody reads', async () => {
  const child = spawn(process.execPath, args);
  await once(child.stderr, 'data');
  let output = '';
  child.stdout.setEncoding('latin1').on('data', (chunk: string) => {
    output += chunk;
  });
  await until('what is said later to come through', () => {
    if (output.includes('"event":"late"')) return true;
    child.stdin.write('go on\n');
    return false;
  });
  const [lost] = /"event":"log.lost","lines":\d+/.exec(output) ?? [];
  expect(lost).toBeDefined();
  // A line is about 200 bytes; what was kept for the reader is bounded.
  expect(output.length).toBeLessThan(2 * 1024 * 1024);
  child.stdin.end();
  await once(child, 'exit');
});
