/**
 * Goal: a log that nobody can take never stops or ends a tracker, and the loss is told.
 * Method: the built log in a process of its own, on a full device and on a pipe nobody reads.
 */
import { execFileSync, spawn } from 'node:child_process';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const log = fileURLToPath(new URL('../dist/log.js', import.meta.url));
const script = `
  const { createLog } = await import(${JSON.stringify(log)});
  const log = createLog({ role: 'test', level: 'info' });
  for (let i = 0; i < 30000; i += 1) log.info({ i, x: 'y'.repeat(100) }, 'many');
  process.stderr.write('written\\n');
  process.stdin.once('data', () => { log.info({}, 'late'); process.stdin.destroy(); });
`;
const args = ['--input-type=module', '-e', script];

test('a full disk', () => {
  const command = '"$0" "$@" > /dev/full 2> /dev/null < /dev/null';
  execFileSync('sh', ['-c', command, process.execPath, ...args], { timeout: 20_000 });
});

test('I7: a pipe that nobody reads', async () => {
  const child = spawn(process.execPath, args);
  await once(child.stderr, 'data');
  const output = text(child.stdout);
  child.stdin.end('go on\n');
  expect(await output).toMatch(/"event":"late"/);
});
