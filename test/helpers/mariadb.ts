/**
 * A private MariaDB for tests: own data directory below the temporary directory, own port on
 * loopback, settings under which it loses nothing when it is killed. It can be killed, restarted
 * and stopped; it never outlives the process that started it for long, because a small guard
 * process kills it when that one is gone.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, openSync, readFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { type Connection, createConnection } from 'mysql2/promise';
import { freePort } from './ports.ts';
import { until } from './wait.ts';

const run = promisify(execFile);

/** Where and as whom to reach a database server. */
export interface MySqlAddress {
  host: string;
  port: number;
  user: string;
  password: string;
}

export interface MariaDb extends MySqlAddress {
  pid(): number;
  /** A DSN as the tracker's configuration takes it. */
  dsn(database: string): string;
  /** Creates an empty database with a fresh name. */
  createDatabase(options?: { charset?: string; collation?: string }): Promise<string>;
  /** SIGKILL; resolves when the process is gone. */
  kill(): Promise<void>;
  /** Starts the server again on the same data and port. */
  restart(): Promise<void>;
  /** Ends the server and removes its data. */
  stop(): Promise<void>;
}

/** DSN of a database on a server. */
export function dsnOf(address: MySqlAddress, database: string): string {
  return `DBI:mysql:${database};host=${address.host};port=${address.port}`;
}

/** A plain connection, for what a test does behind the back of the store. */
export function connectTo(address: MySqlAddress, database?: string): Promise<Connection> {
  const { host, port, user, password } = address;
  return createConnection({ host, port, user, password, ...(database ? { database } : {}) });
}

/** Creates an empty database with a fresh name on a server. @returns the name. */
export async function createDatabaseOn(
  address: MySqlAddress,
  options: { charset?: string; collation?: string } = {},
): Promise<string> {
  const name = `t${process.pid}_${Date.now().toString(36)}_${databases++}`;
  const charset = options.charset === undefined ? '' : ` CHARACTER SET ${options.charset}`;
  const collation = options.collation === undefined ? '' : ` COLLATE ${options.collation}`;
  const connection = await connectTo(address);
  try {
    await connection.query(`CREATE DATABASE ${name}${charset}${collation}`);
  } finally {
    connection.destroy();
  }
  return name;
}

let databases = 0;

/** An empty database as options of `startLocalCluster`. */
export async function databaseOf(
  address: MySqlAddress,
): Promise<{ dsn: string; dbUser: string; dbPass: string }> {
  const name = await createDatabaseOn(address);
  return { dsn: dsnOf(address, name), dbUser: address.user, dbPass: address.password };
}

/** Starts a server; `dir` is where its directory is made. */
export async function startMariaDb(options: { dir?: string } = {}): Promise<MariaDb> {
  const parent = options.dir ?? tmpdir();
  await mkdir(parent, { recursive: true });
  const dir = await mkdtemp(join(parent, 'omgfs-mariadb-'));
  const datadir = join(dir, 'data');
  await install(datadir);
  const address: MySqlAddress = {
    host: '127.0.0.1',
    port: await freePort(),
    user: 'test',
    password: 'secret',
  };
  let server = await launch({ dir, datadir, port: address.port });
  await grant(join(dir, 'mysqld.sock'), address);
  return {
    ...address,
    pid: () => server.pid as number,
    dsn: (database) => dsnOf(address, database),
    createDatabase: (wanted) => createDatabaseOn(address, wanted),
    kill: () => end(server, 'SIGKILL'),
    restart: async () => {
      await end(server, 'SIGKILL');
      server = await launch({ dir, datadir, port: address.port });
    },
    stop: async () => {
      await end(server, 'SIGKILL');
      await rm(dir, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

export function findProgram(...names: string[]): string {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  for (const name of names) {
    for (const folder of folders) {
      const path = join(folder, name);
      if (folder !== '' && existsSync(path)) return path;
    }
  }
  throw new Error(`none of ${names.join(', ')} is installed (Debian: apt install mariadb-server)`);
}

function userOptions(): string[] {
  return process.getuid?.() === 0 ? ['--user=root'] : [];
}

async function install(datadir: string): Promise<void> {
  const program = findProgram('mariadb-install-db', 'mysql_install_db');
  await run(program, [
    '--no-defaults',
    `--datadir=${datadir}`,
    // Two installations at once would meet in the common temporary directory.
    `--tmpdir=${dirname(datadir)}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    '--innodb-log-file-size=16M',
    ...userOptions(),
  ]);
}

async function launch(place: {
  dir: string;
  datadir: string;
  port: number;
}): Promise<ChildProcess> {
  const log = join(place.dir, 'server.log');
  const output = openSync(log, 'a');
  const server = spawn(
    findProgram('mariadbd', 'mysqld'),
    [
      '--no-defaults',
      `--datadir=${place.datadir}`,
      `--socket=${join(place.dir, 'mysqld.sock')}`,
      `--pid-file=${join(place.dir, 'mysqld.pid')}`,
      // Servers clear what others keep in a common one.
      `--tmpdir=${place.dir}`,
      `--port=${place.port}`,
      '--bind-address=127.0.0.1',
      '--skip-name-resolve',
      '--skip-log-bin',
      '--innodb-buffer-pool-size=64M',
      '--innodb-log-file-size=16M',
      // Servers are killed here and machines are not: what the system was given is safe.
      '--innodb-flush-log-at-trx-commit=2',
      '--sync-frm=0',
      '--max-connections=300',
      '--performance-schema=OFF',
      ...userOptions(),
    ],
    { stdio: ['ignore', output, output] },
  );
  guard(server.pid as number);
  server.once('exit', (_, signal) => {
    // Only a test kills it; when it ends by itself, its own words say why.
    if (signal !== 'SIGKILL') process.stderr.write(readFileSync(log, 'utf8').slice(-6000));
  });
  await until('MariaDB accepts connections', async () => {
    if (server.exitCode !== null) {
      throw new Error(`MariaDB ended:\n${(await readFile(log, 'utf8')).slice(-2000)}`);
    }
    const connection = await createConnection({
      socketPath: join(place.dir, 'mysqld.sock'),
      user: 'root',
    });
    await connection.query('SELECT 1');
    connection.destroy();
    return true;
  });
  return server;
}

/**
 * Ends the server when this process is gone, however it went; ends with the server itself. One with
 * workers of its own needs SIGTERM, or they go on alone.
 */
export function guard(serverPid: number, signal: 'KILL' | 'TERM' = 'KILL'): void {
  const script =
    `while kill -0 ${process.pid} 2>/dev/null && kill -0 ${serverPid} 2>/dev/null; ` +
    `do sleep 1; done; kill -${signal} ${serverPid} 2>/dev/null`;
  spawn('/bin/sh', ['-c', script], { stdio: 'ignore', detached: true }).unref();
}

export async function grant(socketPath: string, address: MySqlAddress): Promise<void> {
  const connection = await createConnection({ socketPath, user: 'root' });
  await connection.query(
    `GRANT ALL ON *.* TO '${address.user}'@'%' IDENTIFIED BY '${address.password}' ` +
      'WITH GRANT OPTION',
  );
  connection.destroy();
}

export async function end(server: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (server.exitCode !== null || server.signalCode !== null) return;
  const gone = new Promise((resolve) => server.once('exit', resolve));
  server.kill(signal);
  await gone;
}
