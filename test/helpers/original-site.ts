/**
 * A site as the original's test-suite builds it (spec §10): a database made by `mogdbsetup`,
 * storage nodes on 127.0.1.1 to 127.0.1.3 with one side-channel port, one tracker with its command
 * line and environment, everything else done over the line protocol.
 */
import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { type Fields, fidPath } from '@omgfs/protocol';
import type { RowDataPacket } from 'mysql2/promise';
import { connectTo, createDatabaseOn, dsnOf, type MySqlAddress } from './mariadb.ts';
import { freePort } from './ports.ts';
import { putBody, RawClient } from './raw-client.ts';
import { until } from './wait.ts';

const hosts = ['hostA', 'hostB', 'hostC'] as const;
type HostName = (typeof hosts)[number];
const domain = 'testdom';

export class OriginalSite {
  readonly dir = mkdtempSync(join(tmpdir(), 'omgfs-original-'));
  readonly domain = domain;
  readonly #server: MySqlAddress;
  readonly #database: string;
  readonly #ports: { http: number; side: number; tracker: number };
  readonly #processes: ChildProcess[] = [];
  readonly #nodes = new Map<HostName, ChildProcess>();
  client!: RawClient;

  private constructor(server: MySqlAddress, database: string, ports: OriginalSite['ports']) {
    this.#server = server;
    this.#database = database;
    this.#ports = ports;
  }

  static async start(
    server: MySqlAddress,
    { args = [], env = {} }: { args?: string[]; env?: Record<string, string> } = {},
  ): Promise<OriginalSite> {
    const database = await createDatabaseOn(server);
    const [http, side, tracker] = await Promise.all([freePort(), freePort(), freePort()]);
    const site = new OriginalSite(server, database, { http, side, tracker });
    const { host, port, user, password } = server;
    await promisify(execFile)(process.execPath, [
      programOf('tracker', 'mogdbsetup'),
      ...['--yes', `--dbhost=${host}`, `--dbport=${port}`, `--dbname=${database}`],
      ...[`--dbrootuser=${user}`, `--dbrootpass=${password}`],
      ...[`--dbuser=${user}`, `--dbpass=${password}`, '--type=MySQL'],
    ]);
    for (const name of hosts) site.startNode(name);
    site.#run('tracker', 'mogilefsd', {
      args: [
        ...['--workers=2', '--skipconfig', `--listen=127.0.0.1:${tracker}`],
        ...[`--mogstored_stream_port=${side}`, `--dsn=${dsnOf(server, database)}`],
        ...[`--dbuser=${user}`, `--dbpass=${password}`, ...args],
      ],
      env: { TESTING: '1', ...env },
    });
    await until('the tracker to listen', () => canConnect('127.0.0.1', tracker));
    for (const name of hosts) {
      await until('the node to listen', () => canConnect(site.addressOf(name), http));
    }
    site.client = site.dial();
    return site;
  }

  get ports(): { http: number; side: number; tracker: number } {
    return this.#ports;
  }

  dial(): RawClient {
    return new RawClient(`127.0.0.1:${this.#ports.tracker}`);
  }

  addressOf(name: HostName): string {
    return `127.0.1.${hosts.indexOf(name) + 1}`;
  }

  /** Hosts alive, with the devices that are named. */
  async register(devices: Partial<Record<HostName, number[]>>): Promise<void> {
    await this.client.call('create_domain', { domain });
    for (const [name, devids] of Object.entries(devices)) {
      await this.addHost(name as HostName, devids);
    }
    await this.client.call('clear_cache');
  }

  async addHost(name: HostName, devids: readonly number[]): Promise<void> {
    const host = { host: name, ip: this.addressOf(name), port: this.#ports.http };
    await this.client.call('create_host', { ...host, status: 'alive' });
    for (const devid of devids) {
      await this.client.call('create_device', { hostname: name, devid, state: 'alive' });
    }
  }

  async untilWriteable(count: number): Promise<void> {
    await until(`${count} writeable devices`, async () => {
      // Looks at all of them anew, before it answers.
      await this.client.call('clear_cache');
      const fields = await this.client.call('get_devices');
      const states = Object.entries(fields).filter(([key]) => key.endsWith('observed_state'));
      return states.filter(([, state]) => state === 'writeable').length >= count;
    });
  }

  startNode(name: HostName): ChildProcess {
    const docroot = join(this.dir, name);
    // Before it starts, because it looks for new ones seldom.
    for (const devid of devidsOf(name))
      mkdirSync(join(docroot, `dev${devid}`), { recursive: true });
    const child = this.#run('storage', 'mogstored', {
      args: [
        ...['--skipconfig', `--docroot=${docroot}`, '--maxconns=1000'],
        `--httplisten=${this.addressOf(name)}:${this.#ports.http}`,
        `--mgmtlisten=${this.addressOf(name)}:${this.#ports.side}`,
      ],
      env: {},
    });
    this.#nodes.set(name, child);
    return child;
  }

  pidOf(name: HostName): number {
    return this.#nodes.get(name)?.pid ?? 0;
  }

  /** Where a node keeps a replica. */
  pathOf(devid: number, fid: number): string {
    const name = hosts.find((host) => devidsOf(host).includes(devid)) ?? hosts[0];
    return join(this.dir, name, fidPath(devid, fid));
  }

  /** As the Perl client does it. @returns the fields of the open. */
  async store(key: string, body: string, className = ''): Promise<Fields> {
    const asked = { domain, class: className, key, fid: 0, multi_dest: 1 };
    const opened = await this.client.call('create_open', asked);
    const { fid, devid_1: devid, path_1: path } = opened;
    await putBody(path ?? '', body);
    const size = Buffer.byteLength(body);
    await this.client.call('create_close', { fid, devid, domain, size, key, path });
    return opened;
  }

  async pathsOf(key: string): Promise<string[]> {
    const fields = await this.client.call('get_paths', { domain, key, noverify: 0 });
    return Array.from({ length: Number(fields.paths) }, (_, at) => fields[`path${at + 1}`] ?? '');
  }

  async devidsOf(key: string): Promise<number[]> {
    const { devids } = await this.client.call('file_info', { domain, key, devices: 1 });
    return (devids ?? '').split(',').filter(Boolean).map(Number).sort();
  }

  async rows(sql: string): Promise<RowDataPacket[]> {
    const connection = await connectTo(this.#server, this.#database);
    try {
      const [rows] = await connection.query<RowDataPacket[]>(sql);
      return rows;
    } finally {
      connection.destroy();
    }
  }

  async number(sql: string): Promise<number> {
    const [row] = await this.rows(sql);
    return Number(Object.values(row ?? {})[0]);
  }

  async stop(): Promise<void> {
    await this.client?.close();
    for (const child of this.#processes.reverse()) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      const gone = once(child, 'exit');
      child.kill('SIGCONT');
      child.kill('SIGKILL');
      await gone;
    }
    rmSync(this.dir, { recursive: true, force: true, maxRetries: 5 });
  }

  #run(
    part: 'tracker' | 'storage',
    program: string,
    { args, env }: { args: string[]; env: Record<string, string> },
  ): ChildProcess {
    const log = openSync(join(this.dir, `${program}-${this.#processes.length}.log`), 'a');
    const child = spawn(process.execPath, [programOf(part, program), ...args], {
      stdio: ['ignore', log, log],
      env: { ...process.env, ...env },
    });
    this.#processes.push(child);
    return child;
  }
}

/** Each host has two: 1 and 2, 3 and 4, 5 and 6. */
function devidsOf(name: HostName): number[] {
  const last = 2 * (hosts.indexOf(name) + 1);
  return [last - 1, last];
}

function programOf(part: 'tracker' | 'storage', program: string): string {
  return fileURLToPath(new URL(`../../packages/${part}/bin/${program}.js`, import.meta.url));
}

function canConnect(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    socket.once('error', () => resolve(false));
    socket.once('connect', () => {
      resolve(true);
      socket.destroy();
    });
  });
}
