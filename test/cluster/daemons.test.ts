/**
 * Goal: both daemons go to the background as old start scripts expect: the command ends when the
 * daemon serves, the pid file names it, a second start is refused, a failed one says why.
 * Method: the built commands; what they start is ended by the number in its pid file.
 */
import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, expect, test } from 'vitest';
import { freePort } from '../helpers/ports.ts';
import { RawClient } from '../helpers/raw-client.ts';
import { until } from '../helpers/wait.ts';

const dir = mkdtempSync(join(tmpdir(), 'omgfs-daemons-'));
const pidfiles = ['tracker.pid', 'storage.pid'].map((name) => join(dir, name));
const [trackerPid = '', storagePid = ''] = pidfiles;

afterEach(async () => {
  for (const file of pidfiles) await end(file);
});
afterAll(() => rmSync(dir, { recursive: true, force: true }));

function pidOf(file: string): number {
  return Number(readFileSync(file, 'utf8'));
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** Ends the daemon of a pid file, which must then be gone. */
async function end(file: string): Promise<void> {
  if (!existsSync(file)) return;
  const pid = pidOf(file);
  if (!isAlive(pid)) return;
  process.kill(pid, 'SIGTERM');
  await until('the daemon ends', () => !isAlive(pid));
  expect(existsSync(file)).toBe(false);
}

function run(command: 'mogilefsd' | 'mogstored', ...args: string[]): SpawnSyncReturns<string> {
  const folder = command === 'mogilefsd' ? 'tracker' : 'storage';
  const script = fileURLToPath(
    new URL(`../../packages/${folder}/bin/${command}.js`, import.meta.url),
  );
  return spawnSync(process.execPath, [script, '--skipconfig', ...args], {
    encoding: 'utf8',
    timeout: 250_000,
  });
}

const trackerArgs = (port: number) => [
  ...['--create_schema', '--dsn', `DBI:SQLite:${join(dir, 'db.sqlite')}`],
  ...['--listen', `127.0.0.1:${port}`, '--pidfile', trackerPid],
];

test('mogilefsd --daemonize', async () => {
  const port = await freePort();
  const started = run('mogilefsd', '--daemonize', ...trackerArgs(port));
  expect({ status: started.status, stdout: started.stdout }).toEqual({ status: 0, stdout: '' });
  const client = new RawClient(`127.0.0.1:${port}`);
  expect(await client.ask('noop\r\n')).toBe('OK \r\n');
  await client.close();
  expect(isAlive(pidOf(trackerPid))).toBe(true);

  const second = run('mogilefsd', '-D', ...trackerArgs(port));
  expect(second.status).toBe(1);
  expect(second.stderr).toContain('is running; stop it first');
  expect(isAlive(pidOf(trackerPid))).toBe(true);
});

test('mogstored --daemonize', async () => {
  const docroot = join(dir, 'docroot');
  mkdirSync(join(docroot, 'dev1'), { recursive: true });
  const port = await freePort();
  const args = ['--docroot', docroot, '--httplisten', `127.0.0.1:${port}`, '--mgmtlisten', 'none'];
  const started = run('mogstored', '-d', ...args, '--pidfile', storagePid);
  expect({ status: started.status, stdout: started.stdout }).toEqual({ status: 0, stdout: '' });
  expect((await fetch(`http://127.0.0.1:${port}/dev1/usage`)).status).toBe(200);
  expect(run('mogstored', '-d', ...args, '--pidfile', storagePid).status).toBe(1);
});

test('a start that fails says why, and the pid file of a dead process is no obstacle', async () => {
  const taken = createServer();
  const port = await freePort();
  await new Promise<void>((resolve) => taken.listen(port, '127.0.0.1', resolve));
  const failed = run('mogilefsd', '--daemonize', ...trackerArgs(port));
  await new Promise((resolve) => taken.close(resolve));
  expect(failed.status).toBe(1);
  expect(failed.stderr).toContain('EADDRINUSE');
  writeFileSync(trackerPid, '999999999\n');
  expect(run('mogilefsd', '--daemonize', ...trackerArgs(port)).status).toBe(0);
});

test('options that do nothing are said on the terminal', async () => {
  const port = await freePort();
  const { stderr } = run('mogilefsd', '-D', '--user', 'root', ...trackerArgs(port));
  expect(stderr).toContain('mogilefsd: option user has no effect');
});
