/**
 * Goal: I9. A tracker that hangs, or whose machine lost power, keeps neither rows nor locks: the
 * database takes them from it soon, not when it finds that nobody is there any more.
 * Method: a process of its own that is stopped while it holds both.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'vitest';
import { freeze } from '../../../../test/helpers/freeze.ts';
import { connectTo, createDatabaseOn } from '../../../../test/helpers/mariadb.ts';
import { sharedServer } from '../../../../test/helpers/shared-server.ts';
import { until } from '../../../../test/helpers/wait.ts';
import { openEngine } from '../../src/store/open-store.ts';

const lock = { name: 'mfsd:file_to_queue', waitMs: 0 };
const row = "UPDATE server_settings SET value = 'taken' WHERE field = 'hanging'";

/** What the process runs. */
const program = `
  const { openEngine } = await import(process.argv[1]);
  const engine = await openEngine(JSON.parse(process.argv[2]), { createSchema: false });
  await engine.withLock(${JSON.stringify(lock)}, () =>
    engine.transaction(async (session) => {
      await session.run(${JSON.stringify(row)});
      console.log('holds both');
      await new Promise(() => setInterval(() => {}, 1000));
    }));`;

test('a tracker that hangs keeps neither its rows nor its locks', async () => {
  const server = sharedServer();
  const { host, port, user, password } = server;
  const database = await createDatabaseOn(server);
  const place = { host, port, user, password, database, socketPath: undefined };
  const dsn = { engine: 'mysql', ...place } as const;
  const engine = await openEngine(dsn, { createSchema: true });
  await engine.run("INSERT INTO server_settings (field, value) VALUES ('hanging', '')");
  const built = new URL('../../dist/store/open-store.js', import.meta.url).href;
  const args = ['--input-type=module', '-e', program, built, JSON.stringify(dsn)];
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'inherit'] });
  try {
    await once(child.stdout, 'data');
    await freeze(child.pid);
    await until('the row is free', () => engine.run(row).then(() => true));
    const taken = () => engine.withLock(lock, async () => true);
    await until('the lock is free', async () => (await taken()) ?? false);
  } finally {
    child.kill('SIGKILL');
    await engine.close();
    const connection = await connectTo(server);
    await connection.query(`DROP DATABASE ${database}`);
    connection.destroy();
  }
});
