/**
 * A private Galera cluster for tests: nodes on loopback with ports and data directories of their
 * own. They never outlive the process that started them for long.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { existsSync, openSync } from 'node:fs';
import { cp, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { createConnection, type RowDataPacket } from 'mysql2/promise';
import { end, findProgram, grant, guard, type MySqlAddress } from './mariadb.ts';
import { freePort } from './ports.ts';
import { until } from './wait.ts';

const run = promisify(execFile);

export interface Galera {
  /** Where to reach each node. */
  readonly nodes: readonly MySqlAddress[];
  /** SIGKILL of one node; resolves when the process is gone. */
  kill(index: number): Promise<void>;
  /** Starts a killed node again; resolves when it is a synchronized member. */
  restart(index: number): Promise<void>;
  /** Ends all nodes and removes their data. */
  stop(): Promise<void>;
}

interface NodePlace {
  name: string;
  datadir: string;
  socket: string;
  log: string;
  address: MySqlAddress;
  ports: { group: number; increments: number; snapshots: number };
}

const providers = [
  '/usr/lib/galera/libgalera_smm.so',
  '/usr/lib/libgalera_smm.so',
  '/usr/lib64/galera-4/libgalera_smm.so',
  '/usr/lib64/galera/libgalera_smm.so',
];
const readyMsMax = 180_000;

export async function startGalera(count = 3): Promise<Galera> {
  const provider = providers.find((path) => existsSync(path));
  if (provider === undefined) throw new Error('no Galera provider (Debian: apt install galera-4)');
  const dir = await mkdtemp(join(tmpdir(), 'omgfs-galera-'));
  const places: NodePlace[] = [];
  for (let index = 0; index < count; index += 1) places.push(await placeOf(dir, index));
  await install(places.map(({ datadir }) => datadir));
  if (asUser !== undefined) await run('chown', ['-R', asUser, dir]);
  const members = places.map(({ ports }) => `127.0.0.1:${ports.group}`).join(',');
  const launched = (place: NodePlace, more: string[] = []) =>
    launch(
      place,
      [`--wsrep-provider=${provider}`, `--wsrep-cluster-address=gcomm://${members}`].concat(more),
    );
  const servers: ChildProcess[] = [];
  const stop = async () => {
    await Promise.all(servers.map((server) => end(server, 'SIGKILL')));
    await rm(dir, { recursive: true, force: true, maxRetries: 5 });
  };
  try {
    const [first, ...others] = places as [NodePlace, ...NodePlace[]];
    servers.push(await launched(first, ['--wsrep-new-cluster']));
    await grant(first.socket, first.address);
    for (const place of others) servers.push(await launched(place));
  } catch (error) {
    await stop();
    throw error;
  }
  return {
    nodes: places.map(({ address }) => address),
    kill: (index) => end(servers[index] as ChildProcess, 'SIGKILL'),
    restart: async (index) => {
      servers[index] = await launched(places[index] as NodePlace);
    },
    stop,
  };
}

/** State transfers fail as root, so that the servers run as the user of the package. */
const asUser = process.getuid?.() === 0 ? 'mysql' : undefined;
const userOptions = asUser === undefined ? [] : [`--user=${asUser}`];

async function placeOf(dir: string, index: number): Promise<NodePlace> {
  const name = `n${index + 1}`;
  const port = await freePort();
  return {
    name,
    datadir: join(dir, name),
    socket: join(dir, `${name}.sock`),
    log: join(dir, `${name}.log`),
    address: { host: '127.0.0.1', port, user: 'test', password: 'secret' },
    ports: {
      group: await freePort(),
      increments: await freePort(),
      snapshots: await freePort(),
    },
  };
}

/** One installation, copied for the others. */
async function install(datadirs: readonly string[]): Promise<void> {
  const [first, ...others] = datadirs as [string, ...string[]];
  if (asUser !== undefined) await run('chown', [asUser, dirname(first)]);
  await run(findProgram('mariadb-install-db', 'mysql_install_db'), [
    '--no-defaults',
    `--datadir=${first}`,
    `--tmpdir=${dirname(first)}`,
    '--auth-root-authentication-method=normal',
    '--skip-test-db',
    '--innodb-log-file-size=16M',
    ...userOptions,
  ]);
  await Promise.all(others.map((other) => cp(first, other, { recursive: true })));
}

async function launch(place: NodePlace, cluster: readonly string[]): Promise<ChildProcess> {
  const { name, datadir, socket, log, address, ports } = place;
  const output = openSync(log, 'a');
  const server = spawn(
    findProgram('mariadbd', 'mysqld'),
    [
      '--no-defaults',
      `--datadir=${datadir}`,
      `--socket=${socket}`,
      `--pid-file=${socket}.pid`,
      `--port=${address.port}`,
      '--bind-address=127.0.0.1',
      '--skip-name-resolve',
      '--innodb-buffer-pool-size=64M',
      '--innodb-log-file-size=16M',
      '--innodb-flush-log-at-trx-commit=2',
      '--innodb-autoinc-lock-mode=2',
      '--binlog-format=ROW',
      '--performance-schema=OFF',
      '--wsrep-on=ON',
      '--wsrep-cluster-name=omgfs-test',
      `--wsrep-node-name=${name}`,
      `--wsrep-node-address=127.0.0.1:${ports.group}`,
      '--wsrep-sst-method=rsync',
      `--wsrep-sst-receive-address=127.0.0.1:${ports.snapshots}`,
      `--wsrep-provider-options=${[
        `gmcast.listen_addr=tcp://127.0.0.1:${ports.group}`,
        `ist.recv_addr=127.0.0.1:${ports.increments}`,
        'gcache.size=32M',
        // How long the others wait for a dead node: by default 5 s.
        'evs.suspect_timeout=PT2S',
        'evs.keepalive_period=PT0.5S',
      ].join(';')}`,
      ...cluster,
      ...userOptions,
    ],
    { stdio: ['ignore', output, output] },
  );
  guard(server.pid as number);
  await until(
    `${name} to be synchronized`,
    async () => {
      if (server.exitCode !== null) return true;
      const connection = await createConnection({ socketPath: socket, user: 'root' });
      try {
        const [rows] = await connection.query<RowDataPacket[]>(
          "SHOW STATUS LIKE 'wsrep_local_state_comment'",
        );
        return rows[0]?.Value === 'Synced';
      } finally {
        connection.destroy();
      }
    },
    { deadlineMs: readyMsMax, everyMs: 100 },
  ).catch(async (error: unknown) => {
    await end(server, 'SIGKILL');
    throw error;
  });
  if (server.exitCode !== null) {
    throw new Error(`${name} ended:\n${(await readFile(log, 'utf8')).slice(-4000)}`);
  }
  return server;
}
