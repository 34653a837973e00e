/**
 * A whole cluster on this machine: trackers and storage nodes as real processes on loopback
 * addresses, on the embedded database unless told otherwise. For trying omgfs out, and for tests.
 */
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createTrackerPool } from '@omgfs/client';
import { Daemon } from './daemon.ts';
import { commonPort, portIfFree } from './ports.ts';
import { registerCluster } from './register.ts';
import { lockState, readState, writeState } from './state.ts';

export interface LocalClusterOptions {
  /** State directory, kept between runs; without one a temporary directory is used. */
  dir?: string;
  hosts: number;
  devicesPerHost: number;
  trackers?: number;
  domain: string;
  /** Database of the trackers, or one for each; by default SQLite in the state directory. */
  dsn?: string | readonly string[];
  dbUser?: string;
  dbPass?: string;
  extraTrackerArgs?: readonly string[];
  extraStorageArgs?: readonly string[];
  /** Wished first port of a new state directory; ports that are taken, and 0, mean any free one. */
  portBase?: number;
  /**
   * Ends the start when it is aborted. Who passes it looks after Ctrl-C: the daemons do not see it
   * themselves then, and are stopped in order.
   */
  signal?: AbortSignal;
  /** Called with what happened when a daemon ends without having been told to. */
  onUnexpectedEnd?: (message: string) => void;
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
  /** Base URL of each tracker's HTTP API. */
  readonly apis: readonly string[];
  readonly trackerDaemons: readonly Daemon[];
  readonly hosts: readonly LocalHost[];
  /** Ends all processes; a temporary directory is removed. */
  stop(): Promise<void>;
}

const trackerIp = '127.0.0.1';

/**
 * Starts everything and waits until every device can be written. A state directory keeps its nodes
 * and devices; `hosts` and `devicesPerHost` can add to them.
 * @throws FAILURE with the last words of a process that does not start, or when the directory is
 * in use; the reason of the signal.
 */
export async function startLocalCluster(options: LocalClusterOptions): Promise<LocalCluster> {
  const { domain, signal } = options;
  const temporary = options.dir === undefined;
  const dir = resolve(options.dir ?? (await mkdtemp(join(tmpdir(), 'omgfs-'))));
  const lock = await lockState(dir);
  const nodes: Node[] = [];
  const trackerDaemons: Daemon[] = [];
  const all = () => [...nodes, ...trackerDaemons];
  const stopDaemons = () => Promise.all(all().map((daemon) => daemon.stop()));
  const stop = async () => {
    await stopDaemons();
    lock.release();
    if (temporary) await rm(dir, { recursive: true, force: true });
  };
  // Whoever waits for a daemon fails when it ends.
  signal?.addEventListener('abort', stopDaemons, { once: true });
  try {
    signal?.throwIfAborted();
    await mkdir(join(dir, 'logs'), { recursive: true });
    const setting = {
      ...options,
      dir,
      sideChannelPort: await sideChannelPortOf(dir, options.hosts),
      onSpawn: () => lock.note(all().flatMap(({ pid }) => pid ?? [])),
    };
    nodes.push(...(await createNodes(setting)));
    trackerDaemons.push(...(await createTrackers(setting)));
    await Promise.all([...nodes, ...trackerDaemons.slice(0, 1)].map((daemon) => daemon.start()));
    // The first tracker makes the schema; the others find it.
    await Promise.all(trackerDaemons.slice(1).map((daemon) => daemon.start()));
    const trackers = trackerDaemons.map(({ port }) => `${trackerIp}:${port}`);
    await register(trackers, { hosts: nodes, domain });
    writeState(dir, {
      domain,
      trackerPorts: trackerDaemons.map(({ port }) => port),
      apiPorts: trackerDaemons.map(apiPortOf),
      nodePorts: nodes.map(({ httpPort }) => httpPort),
      sideChannelPort: setting.sideChannelPort,
    });
    return {
      dir,
      domain,
      trackers,
      apis: trackerDaemons.map((daemon) => `http://${trackerIp}:${apiPortOf(daemon)}`),
      trackerDaemons,
      hosts: nodes,
      stop,
      [Symbol.asyncDispose]: stop,
    };
  } catch (error) {
    await stop();
    signal?.throwIfAborted();
    throw error;
  } finally {
    signal?.removeEventListener('abort', stopDaemons);
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

/** What both kinds of daemons need to know. */
interface Setting extends LocalClusterOptions {
  dir: string;
  /** Trackers look for the side channel of every host on the same port. */
  sideChannelPort: number;
  onSpawn: () => void;
}

async function createNodes(setting: Setting): Promise<Node[]> {
  const { dir, extraStorageArgs = [] } = setting;
  const kept = readState(dir);
  const nodes: Node[] = [];
  for (const [index, { name, docroot, devids }] of (await placeDevices(setting)).entries()) {
    const ip = nodeIp(index);
    const wished = setting.portBase ? setting.portBase + 500 : 0;
    const daemon = {
      ...commonOptions(setting, name),
      script: binOf('@omgfs/storage', 'mogstored'),
      port: await portIfFree(ip, kept?.nodePorts[index] ?? wished),
      argsFor: (port: number) => [
        '--skipconfig',
        ...['--docroot', docroot],
        ...['--httplisten', `${ip}:${port}`],
        // So that they fetch replicas from each other.
        ...['--allow', '127.0.0.0/8'],
        ...['--mgmtlisten', `${ip}:${setting.sideChannelPort}`],
        ...extraStorageArgs,
      ],
      ready: { event: 'storage.listening', portField: 'httpPort' },
    };
    nodes.push(new Node(daemon, { ip, docroot, devids }));
  }
  return nodes;
}

/** Each host needs an address of its own: `host.hostip` is unique. */
function nodeIp(index: number): string {
  return `127.0.0.${index + 1}`;
}

function sideChannelPortOf(dir: string, hosts: number): Promise<number> {
  const kept = readState(dir);
  const count = Math.max(hosts, kept?.nodePorts.length ?? 0);
  return commonPort(
    Array.from({ length: count }, (_, index) => nodeIp(index)),
    kept?.sideChannelPort,
  );
}

/** The device directories of every node: those that are there, and as many more as are wished. */
async function placeDevices(
  setting: Setting,
): Promise<{ name: string; docroot: string; devids: number[] }[]> {
  const { dir, devicesPerHost } = setting;
  const hosts = Math.max(setting.hosts, readState(dir)?.nodePorts.length ?? 0);
  const places: { name: string; docroot: string; devids: number[] }[] = [];
  for (let number = 1; number <= hosts; number += 1) {
    const docroot = join(dir, `node${number}`);
    await mkdir(docroot, { recursive: true });
    const devids = (await readdir(docroot)).flatMap((entry) => {
      const devid = /^dev([1-9]\d*)$/.exec(entry)?.[1];
      return devid === undefined ? [] : [Number(devid)];
    });
    places.push({ name: `node${number}`, docroot, devids: devids.sort((a, b) => a - b) });
  }
  // A device id is never used again, so new ones come behind all others.
  let last = Math.max(0, ...places.flatMap(({ devids }) => devids));
  for (const { docroot, devids } of places) {
    while (devids.length < devicesPerHost) {
      last += 1;
      devids.push(last);
      await mkdir(join(docroot, `dev${last}`));
    }
  }
  return places;
}

async function createTrackers(setting: Setting): Promise<Daemon[]> {
  const { dir, dsn, dbUser, dbPass, extraTrackerArgs = [] } = setting;
  const dsns = [dsn ?? `DBI:SQLite:${join(dir, 'omgfs.sqlite')}`].flat();
  const kept = readState(dir);
  const daemons: Daemon[] = [];
  for (let index = 0; index < (setting.trackers ?? 1); index += 1) {
    const wished = setting.portBase ? setting.portBase + 1 + index : 0;
    const apiWished = setting.portBase ? setting.portBase + 101 + index : 0;
    const apiPort = await portIfFree(trackerIp, kept?.apiPorts?.[index] ?? apiWished);
    const daemon = {
      ...commonOptions(setting, `tracker${index + 1}`),
      script: binOf('@omgfs/tracker', 'mogilefsd'),
      port: await portIfFree(trackerIp, kept?.trackerPorts[index] ?? wished),
      argsFor: (port: number, { httpPort }: Readonly<Record<string, unknown>>) => [
        '--skipconfig',
        '--create_schema',
        ...['--listen', `${trackerIp}:${port}`],
        ...['--mogstored_stream_port', String(setting.sideChannelPort)],
        ...['--http_listen', `${trackerIp}:${httpPort ?? apiPort}`],
        ...['--dsn', dsns[index % dsns.length] ?? ''],
        ...(dbUser === undefined ? [] : ['--dbuser', dbUser]),
        ...(dbPass === undefined ? [] : ['--dbpass', dbPass]),
        ...extraTrackerArgs,
      ],
      ready: { event: 'tracker.listening', portField: 'port' },
    };
    daemons.push(new Daemon(daemon));
  }
  return daemons;
}

function apiPortOf({ said }: Daemon): number {
  return Number(said.httpPort);
}

function commonOptions(setting: Setting, name: string) {
  return {
    name,
    logFile: join(setting.dir, 'logs', `${name}.log`),
    detached: setting.signal !== undefined,
    onSpawn: setting.onSpawn,
    onUnexpectedEnd: setting.onUnexpectedEnd ?? (() => {}),
  };
}

function binOf(packageName: string, command: string): string {
  const entry = createRequire(import.meta.url).resolve(packageName);
  return join(dirname(entry), '..', 'bin', `${command}.js`);
}
