/**
 * A whole small cluster in one process: real storage nodes on addresses of loopback, a real
 * database and the jobs of a tracker. Ends with the test that started it.
 */
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Checksum, fidPath } from '@omgfs/protocol';
import { createStorageNode, type StorageNode } from '@omgfs/storage';
import { type Logger, pino } from 'pino';
import { onTestFinished } from 'vitest';
import { connectTo, createDatabaseOn, dsnOf } from '../../../../test/helpers/mariadb.ts';
import { launchMogstored, readCalls } from '../../../../test/helpers/mogstored.ts';
import { sharedServer } from '../../../../test/helpers/shared-server.ts';
import { until } from '../../../../test/helpers/wait.ts';
import { createDeviceClient, type DeviceClient } from '../../src/devices/device-client.ts';
import { createJobs, type JobSettings, type Jobs } from '../../src/jobs/jobs.ts';
import { openStore, parseDsn } from '../../src/store/open-store.ts';
import { openSqlite } from '../../src/store/sqlite/driver.ts';
import type { Store } from '../../src/store/store.ts';
import { Topology } from '../../src/topology/topology.ts';

export const engines = ['sqlite', 'mysql'] as const;
export type EngineName = (typeof engines)[number];

export interface LogLine {
  level: number;
  event: string;
  [field: string]: unknown;
}

/** One tracker's worth of background work. */
export interface TestTracker {
  store: Store;
  topology: Topology;
  devices: DeviceClient;
  jobs: Jobs;
  lines: LogLine[];
  /** Waits for a log line. */
  logged: (event: string, fields?: Record<string, unknown>) => Promise<LogLine>;
}

export interface TestCluster extends TestTracker {
  dmid: number;
  classid: number;
  /** By host number, from 1; device numbers are the same. */
  node: (number: number) => TestNode;
  /** Another tracker on the same database. */
  anotherTracker: (options?: TrackerOptions) => Promise<TestTracker>;
  /** Adds host and device `number` to the database, with a node that serves it. */
  addHost: (number: number) => Promise<void>;
  /** Adds a host with devices to the database that a test serves itself. */
  addStrangeHost: (host: { base: string; devids: number[] }) => Promise<void>;
  /** Does something to the database behind everybody's back. */
  sql: (statement: string) => Promise<void>;
  /** Stores a file whose bytes are on these devices. */
  upload: (file: {
    bytes: string;
    on: number[];
    key?: string;
    classid?: number;
    checksum?: Checksum;
    replicate?: boolean;
  }) => Promise<number>;
  replicas: (fid: number) => Promise<number[]>;
  /** What is on the disk, or undefined. */
  bytesOn: (devid: number, fid: number) => Promise<string | undefined>;
  /** Overwrites, or removes, a replica behind everybody's back. */
  damage: (devid: number, fid: number, bytes: string | undefined) => Promise<void>;
}

export interface TestNode {
  docroot: string;
  stop: () => Promise<void>;
  start: () => Promise<void>;
  /** Starts it again, with a disk from which these files of its device cannot be read. */
  restartUnable: (fids: number[]) => Promise<void>;
}

export interface TrackerOptions {
  settings?: Partial<JobSettings>;
  /** Wraps the real client, to count or to act at a certain moment. */
  devices?: (real: DeviceClient, store: Store) => DeviceClient;
  /** Leaves the jobs to the test. */
  start?: boolean;
}

export interface ClusterOptions extends TrackerOptions {
  engine: EngineName;
  hosts: number;
  mindevcount?: number;
  hashtype?: Checksum['type'];
}

/** Longer than a test: only what the test does makes such a wait end. */
export const neverMs = 600_000;

const defaults: JobSettings = {
  replicateJobs: 8,
  deleteJobs: 8,
  fsckJobs: 1,
  hostname: 'tracker',
  tempfileAgeSeconds: 3600,
  idleMs: 50,
  // The picture of the cluster changes when a test says so.
  topologyEveryMs: neverMs,
  sweepEveryMs: neverMs,
  hastenEveryMs: 0,
  replicationDelaySeconds: () => 3600,
};

export async function startCluster(options: ClusterOptions): Promise<TestCluster> {
  const dir = await mkdtemp(join(tmpdir(), 'omgfs-jobs-'));
  onTestFinished(() => rm(dir, { recursive: true, force: true, maxRetries: 5 }));
  const database = await createDatabase(options.engine, dir);
  const open = () => openDatabase(database);
  const setup = await open();
  const nodes = new Map<number, TestNode>();
  const addHost = async (number: number): Promise<void> => {
    const { node, httpPort } = await startNode(join(dir, `host${number}`), number);
    nodes.set(number, node);
    const hostid = await setup.createHost({
      hostname: `host${number}`,
      hostip: `127.0.0.${number}`,
      httpPort,
      status: 'alive',
    });
    await setup.createDevice({ devid: number, hostid, status: 'alive' });
  };
  for (let number = 1; number <= options.hosts; number += 1) await addHost(number);
  const dmid = await setup.createDomain('photos');
  const { mindevcount = 2, hashtype = null } = options;
  const classid = await setup.createClass({ dmid, name: 'originals', mindevcount, hashtype });
  const tracker = await startTracker(open, options);
  return {
    ...tracker,
    dmid,
    classid,
    node: (number) => nodes.get(number)!,
    addHost,
    addStrangeHost: async ({ base, devids }) => {
      const { hostname: hostip, port } = new URL(base);
      const host = { hostname: 'strange', hostip, httpPort: Number(port) };
      const hostid = await setup.createHost({ ...host, status: 'alive' });
      for (const devid of devids) await setup.createDevice({ devid, hostid, status: 'alive' });
      await tracker.jobs.monitor.refresh();
    },
    sql: database.sql,
    anotherTracker: (more = {}) => startTracker(open, more),
    upload: (file) => upload(tracker, { dmid, classid, ...file }),
    replicas: async (fid) => {
      const devids = (await tracker.store.replicasOf([fid])).get(fid) ?? [];
      return devids.toSorted((a, b) => a - b);
    },
    bytesOn: async (devid, fid) => {
      const path = nodes.get(devid)!.docroot + fidPath(devid, fid);
      return (await stat(path).catch(() => undefined)) && (await readFile(path, 'utf8'));
    },
    damage: async (devid, fid, bytes) => {
      const path = nodes.get(devid)!.docroot + fidPath(devid, fid);
      await (bytes === undefined ? rm(path) : writeFile(path, bytes));
    },
  };
}

interface Database {
  dsn: string;
  sql: (statement: string) => Promise<void>;
}

async function createDatabase(engine: EngineName, dir: string): Promise<Database> {
  if (engine === 'sqlite') {
    const path = join(dir, 'tracker.sqlite');
    const sql = async (statement: string) => {
      const connection = await openSqlite(path);
      connection.exec(statement);
      connection.close();
    };
    return { dsn: `DBI:SQLite:${path}`, sql };
  }
  const address = sharedServer();
  const name = await createDatabaseOn(address);
  const sql = async (statement: string) => {
    const connection = await connectTo(address, name);
    await connection.query(statement);
    connection.destroy();
  };
  return { dsn: dsnOf(address, name), sql };
}

/** Opens the database once more, as another tracker would. */
async function openDatabase({ dsn }: Database): Promise<Store> {
  const store = await openStore(parseDsn(dsn, sharedServer()), {
    createSchema: true,
    mindevcountDefault: 2,
    log: pino({ level: 'silent' }),
  });
  onTestFinished(() => store.close());
  return store;
}

async function startNode(
  docroot: string,
  number: number,
): Promise<{ node: TestNode; httpPort: number }> {
  await mkdir(join(docroot, `dev${number}`), { recursive: true });
  let running: StorageNode | undefined;
  let httpPort = 0;
  const start = async (): Promise<void> => {
    const httpHost = `127.0.0.${number}`;
    const options = { docroot, httpHost, httpPort, freeReserveMb: 0, closeGraceMs: 0 };
    const node = await createStorageNode({ ...options, logLevel: 'silent' });
    await node.listen();
    httpPort = node.httpPort;
    running = node;
  };
  const stop = async (): Promise<void> => {
    await running?.close();
    running = undefined;
  };
  const restartUnable = async (fids: number[]): Promise<void> => {
    await stop();
    const paths = fids.map((fid) => docroot + fidPath(number, fid));
    await launchMogstored({
      docroot,
      listen: `127.0.0.${number}:${httpPort}`,
      args: ['--free-reserve-mb', '0'],
      bad: { calls: readCalls, paths, errno: 'EIO' },
    });
  };
  await start();
  onTestFinished(stop);
  return { node: { docroot, start, stop, restartUnable }, httpPort };
}

async function startTracker(
  open: () => Promise<Store>,
  options: TrackerOptions,
): Promise<TestTracker> {
  const store = await open();
  const topology = new Topology({ mindevcountDefault: 2, freeSpaceMinMb: 0 });
  const timeouts = { nodeTimeoutMs: 2_000, connTimeoutMs: 2_000, connectionsPerHost: 20 };
  const client = createDeviceClient(timeouts);
  const devices = options.devices?.(client, store) ?? client;
  const lines: LogLine[] = [];
  const log: Logger = pino(
    { level: 'debug', messageKey: 'event' },
    { write: (line: string) => lines.push(JSON.parse(line) as LogLine) },
  );
  const settings = { ...defaults, ...options.settings };
  const jobs = createJobs({ store, topology, devices, log, settings });
  onTestFinished(async () => {
    await jobs.stop();
    await client.close();
  });
  if (options.start !== false) {
    jobs.start();
    await jobs.monitor.firstRun;
  }
  const logged = (event: string, fields: Record<string, unknown> = {}) =>
    until(`the log says ${event} ${JSON.stringify(fields)}`, () =>
      lines.find(
        (line) =>
          line.event === event &&
          Object.entries(fields).every(([name, value]) => line[name] === value),
      ),
    );
  return { store, topology, devices, jobs, lines, logged };
}

async function upload(
  { store, topology, jobs }: TestTracker,
  file: {
    dmid: number;
    classid: number;
    bytes: string;
    on: number[];
    key?: string;
    checksum?: Checksum;
    replicate?: boolean;
  },
): Promise<number> {
  const { dmid, classid, bytes, on, key = 'key', checksum, replicate = true } = file;
  const place = { dmid, dkey: key, classid, devids: on };
  const fid = await store.openTempfile(place);
  for (const devid of on) {
    const response = await fetch(topology.writeUrl({ devid, fid })!, {
      method: 'PUT',
      body: bytes,
    });
    if (!response.ok) throw new Error(`PUT answered ${response.status}`);
  }
  const length = Buffer.byteLength(bytes);
  const more = checksum === undefined ? {} : { checksum };
  const outcome = await store.closeTempfile({ fid, ...place, length, replicate, ...more });
  if (outcome !== 'stored') throw new Error(`the close answered ${outcome}`);
  jobs.wakeReplicate();
  return fid;
}
