/**
 * A whole cluster on this machine: trackers and storage nodes as real processes on loopback
 * addresses, on the embedded database unless told otherwise. For trying omgfs out, and for tests.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createTrackerPool } from '@omgfs/client';
import { Daemon } from './daemon.ts';
import { portIfFree } from './ports.ts';
import { registerCluster } from './register.ts';
import { lockState, readState, unlockState, writeLock, writeState } from './state.ts';

export interface LocalClusterOptions {
  /** State directory, kept between runs; without one a temporary directory is used. */
  dir?: string;
  hosts: number;
  devicesPerHost: number;
  trackers?: number;
  domain: string;
  /** Database of the trackers; by default SQLite in the state directory. */
  dsn?: string;
  dbUser?: string;
  dbPass?: string;
  extraTrackerArgs?: readonly string[];
  extraStorageArgs?: readonly string[];
  /** Wished first port of a new state directory; ports that are taken, and 0, mean any free one. */
  portBase?: number;
}

/** A storage node of the cluster. */
export interface LocalHost {
  readonly name: string;
  readonly ip: string;
  readonly httpPort: number;
  readonly docroot: string;
  readonly devids: readonly number[];
  readonly pid: number | undefined;
  start(): Promise<void>;
  stop(): Promise<void>;
  kill(signal: NodeJS.Signals): Promise<void>;
}

export interface LocalCluster extends AsyncDisposable {
  readonly dir: string;
  readonly domain: string;
  /** Addresses as `host:port`. */
  readonly trackers: readonly string[];
  readonly trackerDaemons: readonly Daemon[];
  readonly hosts: readonly LocalHost[];
  /** Ends all processes; a temporary directory is removed. */
  stop(): Promise<void>;
}

const trackerIp = '127.0.0.1';

/**
 * Starts everything and waits until every device can be written. The state of an earlier run in
 * the same directory wins over `hosts` and `devicesPerHost` only where it has more of them.
 * @throws FAILURE with the last words of a process that does not start, or when the directory is
 * in use.
 */
export async function startLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  const temporary = options.dir === undefined;
  const dir = resolve(options.dir ?? (await mkdtemp(join(tmpdir(), 'omgfs-'))));
  lockState(dir);
  const nodes: Node[] = [];
  const trackerDaemons: Daemon[] = [];
  const stop = async () => {
    await Promise.all([...trackerDaemons, ...nodes].map((daemon) => daemon.stop()));
    unlockState(dir);
    if (temporary) await rm(dir, { recursive: true, force: true });
  };
  try {
    await mkdir(join(dir, 'logs'), { recursive: true });
    nodes.push(...(await createNodes(dir, options)));
    trackerDaemons.push(...(await createTrackers(dir, options)));
    await Promise.all([...nodes, ...trackerDaemons.slice(0, 1)].map((daemon) => daemon.start()));
    // The first tracker makes the schema; the others find it.
    await Promise.all(trackerDaemons.slice(1).map((daemon) => daemon.start()));
    const pids = [...nodes, ...trackerDaemons].map(({ pid }) => pid ?? 0);
    writeLock(dir, pids);
    const trackers = trackerDaemons.map(({ port }) => `${trackerIp}:${port}`);
    await register(trackers, { hosts: nodes, domain: options.domain });
    writeState(dir, {
      domain: options.domain,
      trackerPorts: trackerDaemons.map(({ port }) => port),
      nodePorts: nodes.map(({ httpPort }) => httpPort),
      devicesPerHost: nodes[0]?.devids.length ?? 0,
    });
    const { domain } = options;
    return {
      dir,
      domain,
      trackers,
      trackerDaemons,
      hosts: nodes,
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function register(
  trackers: readonly string[],
  plan: Parameters<typeof registerCluster>[1],
): Promise<void> {
  // One tracker alone: another would not know a host yet that this one has just registered.
  const pool = createTrackerPool({ trackers: trackers.slice(0, 1), requestTimeoutMs: 30_000 });
  try {
    await registerCluster(pool, plan);
    // Every tracker shall know what the first was told.
    for (const address of trackers) {
      const one = createTrackerPool({ trackers: [address], requestTimeoutMs: 30_000 });
      await one.request('clear_cache').finally(() => one.close());
    }
  } finally {
    await pool.close();
  }
}

class Node extends Daemon implements LocalHost {
  readonly ip: string;
  readonly docroot: string;
  readonly devids: readonly number[];

  constructor(
    options: ConstructorParameters<typeof Daemon>[0],
    place: { ip: string; docroot: string; devids: readonly number[] },
  ) {
    super(options);
    this.ip = place.ip;
    this.docroot = place.docroot;
    this.devids = place.devids;
  }

  get httpPort(): number {
    return this.port;
  }
}

async function createNodes(dir: string, options: LocalClusterOptions): Promise<Node[]> {
  const kept = readState(dir);
  const hosts = Math.max(options.hosts, kept?.nodePorts.length ?? 0);
  const devicesPerHost = kept?.devicesPerHost ?? options.devicesPerHost;
  const nodes: Node[] = [];
  for (let index = 0; index < hosts; index += 1) {
    const name = `node${index + 1}`;
    // Each host needs an address of its own: `host.hostip` is unique.
    const ip = `127.0.0.${index + 1}`;
    const docroot = join(dir, name);
    const first = index * devicesPerHost + 1;
    const devids = Array.from({ length: devicesPerHost }, (_, at) => first + at);
    for (const devid of devids) await mkdir(join(docroot, `dev${devid}`), { recursive: true });
    const wished = options.portBase ? options.portBase + 500 : 0;
    const daemon = {
      name,
      script: binOf('@omgfs/storage', 'mogstored'),
      port: await portIfFree(ip, kept?.nodePorts[index] ?? wished),
      argsFor: (port: number) => [
        '--skipconfig',
        ...['--docroot', docroot],
        ...['--httplisten', `${ip}:${port}`],
        ...(options.extraStorageArgs ?? []),
      ],
      ready: { event: 'storage.listening', portField: 'httpPort' },
      logFile: join(dir, 'logs', `${name}.log`),
    };
    nodes.push(new Node(daemon, { ip, docroot, devids }));
  }
  return nodes;
}

async function createTrackers(dir: string, options: LocalClusterOptions): Promise<Daemon[]> {
  const kept = readState(dir);
  const dsn = options.dsn ?? `DBI:SQLite:${join(dir, 'omgfs.sqlite')}`;
  const daemons: Daemon[] = [];
  for (let index = 0; index < (options.trackers ?? 1); index += 1) {
    const name = `tracker${index + 1}`;
    const wished = options.portBase ? options.portBase + 1 + index : 0;
    daemons.push(
      new Daemon({
        name,
        script: binOf('@omgfs/tracker', 'mogilefsd'),
        port: await portIfFree(trackerIp, kept?.trackerPorts[index] ?? wished),
        argsFor: (port) => [
          '--skipconfig',
          '--create_schema',
          ...['--listen', `${trackerIp}:${port}`],
          ...['--dsn', dsn],
          ...(options.dbUser === undefined ? [] : ['--dbuser', options.dbUser]),
          ...(options.dbPass === undefined ? [] : ['--dbpass', options.dbPass]),
          ...(options.extraTrackerArgs ?? []),
        ],
        ready: { event: 'tracker.listening', portField: 'port' },
        logFile: join(dir, 'logs', `${name}.log`),
      }),
    );
  }
  return daemons;
}

function binOf(packageName: string, command: string): string {
  const entry = createRequire(import.meta.url).resolve(packageName);
  return join(dirname(entry), 'bin', `${command}.js`);
}
