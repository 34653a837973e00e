/** What the tests of the storage node share: nodes on temporary directories, and raw sockets. */
import { readdirSync, readlinkSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Dispatcher, request } from 'undici';
import { onTestFinished } from 'vitest';
import { launchMogstored, type Mogstored } from '../../../test/helpers/mogstored.ts';
import { freePort } from '../../../test/helpers/ports.ts';
import { mountSmall, type Unmount } from '../../../test/helpers/small-disk.ts';
import {
  createStorageNode,
  endLeftoverNginx,
  type StorageNode,
  type StorageOptions,
} from '../src/index.ts';
import { createLog } from '../src/log.ts';

/** Errors of a test are asserted on its answers; the log would only repeat them. */
export const quiet = createLog('silent');

/** A docroot with device directories, removed when the test ends. */
export async function createDocroot(...devids: number[]): Promise<string> {
  const docroot = await mkdtemp(join(tmpdir(), 'omgfs-storage-'));
  onTestFinished(() => rm(docroot, { recursive: true, force: true, maxRetries: 5 }));
  for (const devid of devids) await mkdir(join(docroot, `dev${devid}`));
  return docroot;
}

/** Starts the built mogstored; it is killed when the test ends. */
export async function launch(docroot: string, ...args: string[]): Promise<Mogstored> {
  onTestFinished(() => endLeftoverNginx(join(docroot, '.omgfs-nginx')));
  return launchMogstored({ docroot, args });
}

export interface RunningNode {
  node: StorageNode;
  docroot: string;
  port: number;
  url: string;
}

/** A node that serves on a free port and is closed when the test ends. */
export async function startNode(options: Partial<StorageOptions> = {}): Promise<RunningNode> {
  const docroot = options.docroot ?? (await createDocroot(1, 2));
  const node = await createStorageNode(
    {
      httpHost: '127.0.0.1',
      httpPort: 0,
      freeReserveMb: 0,
      closeGraceMs: 2000,
      ...options,
      docroot,
    },
    { log: quiet },
  );
  await node.listen();
  onTestFinished(() => node.close());
  return { node, docroot, port: node.httpPort, url: `http://127.0.0.1:${node.httpPort}` };
}

export const nginxOptions = {
  program: undefined,
  path: process.env.PATH ?? '',
  workers: '1',
  links: 'refuse',
} as const;

/** As `startNode`, with nginx as data plane. */
export async function startWithNginx(options: Partial<StorageOptions> = {}): Promise<RunningNode> {
  const httpPort = await freePort();
  return startNode({ httpPort, server: 'nginx', nginx: nginxOptions, ...options });
}

export interface Answer {
  status: number;
  headers: Record<string, string | undefined>;
  body: Buffer;
  text: string;
}

type RequestOptions = Omit<Parameters<typeof request>[1] & {}, 'method'> & { method?: string };

/** One request over undici. */
export async function ask(url: string, options: RequestOptions = {}): Promise<Answer> {
  const { statusCode, headers, body } = await request(url, {
    ...options,
    method: (options.method ?? 'GET') as Dispatcher.HttpMethod,
  });
  const bytes = Buffer.from(await body.arrayBuffer());
  return {
    status: statusCode,
    headers: headers as Record<string, string | undefined>,
    body: bytes,
    text: bytes.toString('latin1'),
  };
}

export function put(
  url: string,
  body: string | Buffer,
  headers: Record<string, string> = {},
): Promise<Answer> {
  return ask(url, { method: 'PUT', body, headers });
}

/** A connection that sends exactly what it is told and collects what comes. */
export class Wire {
  readonly socket: Socket;
  received = '';

  constructor(port: number) {
    this.socket = connect({ host: '127.0.0.1', port, noDelay: true });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (text: Buffer | string) => {
      this.received += String(text);
    });
    this.socket.on('error', () => {});
    onTestFinished(() => {
      this.socket.destroy();
    });
  }

  send(text: string | Buffer): this {
    this.socket.write(typeof text === 'string' ? Buffer.from(text, 'latin1') : text);
    return this;
  }

  /** Everything that came until the node closed the connection. */
  async untilClosed(): Promise<string> {
    if (!this.socket.closed) {
      await new Promise<void>((resolve) => this.socket.once('close', () => resolve()));
    }
    return this.received;
  }

  get status(): number {
    return Number(/^HTTP\/1\.1 (\d{3}) /.exec(this.received)?.[1] ?? 0);
  }
}

/** Sends one request as it is and returns the whole answer; the node is asked to close. */
export async function askRaw(port: number, text: string): Promise<{ status: number; all: string }> {
  const wire = new Wire(port).send(text);
  const all = await wire.untilClosed();
  return { status: wire.status, all };
}

/** Files below a device, temporary ones too, without the node's own. */
export async function filesOf(docroot: string, devid: number): Promise<string[]> {
  const entries = await readdir(join(docroot, `dev${devid}`), {
    recursive: true,
    withFileTypes: true,
  });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) =>
      join(entry.parentPath, entry.name).slice(join(docroot, `dev${devid}`).length + 1),
    )
    .filter((name) => name !== 'usage' && name !== '.omgfs-device.json')
    .sort();
}

/** How many files below a directory this process has open. */
export function openFilesBelow(directory: string): number {
  return readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith(directory);
    } catch {
      return false;
    }
  }).length;
}

/** A small file system in the place of a directory until the test ends, or `unmount` before. */
export async function putSmallDisk(directory: string, sizeMib: number): Promise<Unmount> {
  const unmount = await mountSmall(directory, sizeMib);
  let mounted = true;
  const once = async () => {
    if (mounted) await unmount();
    mounted = false;
  };
  onTestFinished(once);
  return once;
}
