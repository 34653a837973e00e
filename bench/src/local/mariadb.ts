/**
 * A private MariaDB for a local run: fresh data directory on the measured disk, own port on
 * loopback, every commit synced as in production. The database helper of the tests is kept apart
 * on purpose: that one can be killed and restarted and is tuned to be small, this one is tuned
 * like a small production server.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { openSync } from 'node:fs';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { createConnection } from 'mysql2/promise';
import { endProcess, findProgram, freePort, waitFor } from './processes.ts';

const run = promisify(execFile);
const user = 'omgfs';
const password = 'omgfs';

export interface MariaDb {
  pid: number;
  port: number;
  user: string;
  password: string;
  /** Address of a database as the command line takes it. */
  uri(database: string): string;
  createDatabase(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a server below `parent`. @throws Error with the end of its log when it does not start. */
export async function startMariaDb(parent: string): Promise<MariaDb> {
  const dir = join(parent, 'mariadb');
  await mkdir(dir, { recursive: true });
  const asUser = process.getuid?.() === 0 ? ['--user=root'] : [];
  const datadir = `--datadir=${join(dir, 'data')}`;
  await run(
    'mariadb-install-db',
    ['--no-defaults', datadir, '--auth-root-authentication-method=normal', ...asUser],
    { maxBuffer: 16 * 1024 * 1024 },
  );
  const port = await freePort();
  const child = launch({ dir, datadir, port, asUser });
  const socketPath = join(dir, 'socket');
  await waitFor('MariaDB accepts connections', () => answers(child, { dir, socketPath }));
  const admin = await createConnection({ socketPath, user: 'root' });
  await admin.query(`GRANT ALL ON *.* TO '${user}'@'127.0.0.1' IDENTIFIED BY '${password}'`);
  return {
    pid: child.pid ?? 0,
    port,
    user,
    password,
    uri: (database) => `mysql://${user}:${password}@127.0.0.1:${port}/${database}`,
    createDatabase: async (name) => {
      await admin.query(`CREATE DATABASE ${name}`);
    },
    stop: async () => {
      admin.destroy();
      await endProcess(child, 'SIGTERM');
    },
  };
}

interface Place {
  dir: string;
  datadir: string;
  port: number;
  asUser: readonly string[];
}

function launch({ dir, datadir, port, asUser }: Place): ChildProcess {
  const log = openSync(join(dir, 'log'), 'a');
  const options = [
    '--no-defaults',
    datadir,
    `--socket=${join(dir, 'socket')}`,
    `--pid-file=${join(dir, 'pid')}`,
    // Servers clear what others keep in a common one.
    `--tmpdir=${dir}`,
    `--port=${port}`,
    '--bind-address=127.0.0.1',
    '--skip-name-resolve',
    '--skip-log-bin',
    '--innodb-buffer-pool-size=512M',
    '--innodb-log-file-size=256M',
    '--innodb-flush-log-at-trx-commit=1',
    '--max-connections=300',
    ...asUser,
  ];
  return spawn(findProgram('mariadbd'), options, { stdio: ['ignore', log, log] });
}

async function answers(
  child: ChildProcess,
  { dir, socketPath }: { dir: string; socketPath: string },
): Promise<boolean> {
  if (child.exitCode !== null || child.pid === undefined) {
    const log = await readFile(join(dir, 'log'), 'utf8');
    throw new Error(`MariaDB ended:\n${log.slice(-2000)}`);
  }
  try {
    const connection = await createConnection({ socketPath, user: 'root' });
    connection.destroy();
    return true;
  } catch {
    return false;
  }
}
