/**
 * Goal: trackers get digests and utilisation as spec §8.3 says, whatever else a client does.
 * Method: real sockets on a real node; the kernel's tables are real where this machine has them and
 * files of the same form where it has not.
 */
import { createHash } from 'node:crypto';
import { mkdir, rename, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { isLoopback } from '../src/access/access.ts';
import { Devices } from '../src/device/devices.ts';
import { statBig } from '../src/device/files.ts';
import { blockDevicesOf, numberOf, readBusyTimes } from '../src/side-channel/block-devices.ts';
import { answer } from '../src/side-channel/commands.ts';
import { Digests } from '../src/side-channel/digests.ts';
import { createDocroot, put, quiet, startNode } from './helpers.ts';

const management = { host: '127.0.0.1', port: 0 };

/** A client that collects what comes. */
class Client {
  readonly socket;
  received = '';
  closed = false;

  constructor(port: number | undefined) {
    this.socket = connect({ host: '127.0.0.1', port: port ?? 0, allowHalfOpen: true });
    this.socket.setEncoding('latin1');
    this.socket.on('data', (text: Buffer | string) => {
      this.received += String(text);
    });
    this.socket.on('error', () => {});
    this.socket.on('end', () => {
      this.closed = true;
    });
    onTestFinished(() => {
      this.socket.destroy();
    });
  }

  /** What comes until there are so many line ends. */
  lines(count: number): Promise<string> {
    return until(`${count} lines`, () => {
      const parts = this.received.split('\n');
      if (parts.length <= count) return undefined;
      this.received = parts.slice(count).join('\n');
      return `${parts.slice(0, count).join('\n')}\n`;
    });
  }
}

async function start(options: Parameters<typeof startNode>[0] = {}) {
  const running = await startNode({ management, ...options });
  return { ...running, dial: () => new Client(running.node.managementPort) };
}

const path = '/dev1/0/000/000/0000000007.fid';
const md5 = (text: string) => createHash('md5').update(text).digest('hex');

describe('digests and sizes', () => {
  test('of stored files, with and without a reason, in the order asked', async () => {
    const { url, dial } = await start();
    await put(`${url}${path}`, 'hello');
    const client = dial();
    const sha1 = createHash('sha1').update('hello').digest('hex');
    client.socket.write(`MD5 ${path}\r\nSHA-1 ${path} fsck\nsize ${path}\n`);
    expect(await client.lines(3)).toBe(
      `${path} MD5=${md5('hello')}\r\n${path} SHA-1=${sha1}\r\n${path} 5\r\n`,
    );
  });

  test('of what is not there', async () => {
    const client = (await start()).dial();
    client.socket.write(`MD5 ${path}\nsize ${path}\nMD5 /\nsize /dev9/x\nMD5 /dev1\nMD5\n`);
    expect(await client.lines(6)).toBe(
      `${path} MD5=-1\r\n${path} -1\r\n/ MD5=-1\r\n/dev9/x -1\r\n/dev1 MD5=-1\r\n MD5=-1\r\n`,
    );
  });

  test('a device without its disk says nothing about its files (I6)', async () => {
    const docroot = await createDocroot(1);
    await writeFile(join(docroot, 'dev1', '.omgfs-device.json'), 'damaged');
    const { node } = await start({ docroot });
    const client = new Client(node.managementPort);
    client.socket.write(`MD5 ${path}\nsize ${path}\nstates\n`);
    expect(await client.lines(4)).toBe(`${path} MD5=-1\r\n${path} -1\r\ndev1 refused\r\n.\r\n`);
  });

  test('a path with .. is refused', async () => {
    const client = (await start()).dial();
    client.socket.write('MD5 /dev1/../../etc/passwd\nsize ..\n');
    const refusal = 'ERROR: uri invalid (contains ..)\r\n';
    expect(await client.lines(2)).toBe(refusal + refusal);
  });
});

describe('watch', () => {
  test('sends a block about once a second, with every device', async () => {
    const client = (await start()).dial();
    client.socket.write('WATCH\r\n');
    const block = /^1\t(?:-|\d+\.\d\d)\n2\t(?:-|\d+\.\d\d)\n\.\n$/;
    expect(await client.lines(3)).toMatch(block);
    expect(await client.lines(3)).toMatch(block);
  });

  test('without iostat every device is unknown', async () => {
    const client = (await start({ iostat: false })).dial();
    client.socket.write('watch\n');
    await client.lines(3);
    expect(await client.lines(3)).toBe('1\t-\n2\t-\n.\n');
  });
});

describe('which disk it is', () => {
  test('this machine knows the disk of the temporary directory, if there is one', async () => {
    const docroot = await createDocroot();
    const disks = await blockDevicesOf(docroot, { proc: '/proc', sys: '/sys' });
    const { dev } = await statBig(docroot);
    const virtual = numberOf(dev).startsWith('0:');
    if (!virtual) expect(disks[0]).toBe(numberOf(dev));
    const times = await readBusyTimes({ proc: '/proc', sys: '/sys' });
    for (const disk of disks) expect(times.has(disk)).toBe(true);
  });

  test('numbers are taken apart as Linux packs them', () => {
    // 8:1 (sda1), 259:3 (NVMe), and a minor number above 8 bits.
    expect(numberOf(0x801n)).toBe('8:1');
    expect(numberOf(0x10303n)).toBe('259:3');
    expect(numberOf(0x1008fdn)).toBe('8:509');
  });

  test('md and mapper devices count with the disks they are made of', async () => {
    const root = await createDocroot();
    const { dev } = await statBig(root);
    const own = numberOf(dev);
    const slave = async (of: string, name: string, number: string) => {
      await mkdir(join(root, 'block', of, 'slaves', name), { recursive: true });
      await writeFile(join(root, 'block', of, 'slaves', name, 'dev'), `${number}\n`);
    };
    await mkdir(join(root, 'dev'));
    await slave(own, 'md0', '9:0');
    await slave('9:0', 'nvme0n1p2', '259:2');
    await slave('9:0', 'sdb1', '8:17');
    // The kernel's tree is below dev/block.
    await rename(join(root, 'block'), join(root, 'dev/block'));
    expect(await blockDevicesOf(root, { proc: '/proc', sys: root })).toEqual([
      own,
      '9:0',
      '259:2',
      '8:17',
    ]);
  });

  test('busy times of every kind of device', async () => {
    const root = await createDocroot();
    const counters = '1 2 3 4 5 6 7 8 0 4242 11 0 0 0 0 0 0';
    const names = ['8 0 sda', '8 1 sda1', '259 2 nvme0n1p2', '9 0 md0', '253 0 dm-0'];
    await writeFile(
      join(root, 'diskstats'),
      names.map((name) => `   ${name} ${counters}\n`).join(''),
    );
    const times = await readBusyTimes({ proc: root, sys: root });
    expect([...times]).toEqual([
      ['8:0', 4242],
      ['8:1', 4242],
      ['259:2', 4242],
      ['9:0', 4242],
      ['253:0', 4242],
    ]);
  });
});

describe('bad input', () => {
  test('unknown words', async () => {
    const client = (await start()).dial();
    client.socket.write('nonsense a b\n\n\r\nmd5 /dev1/x\nuptime\n');
    expect(await client.lines(4)).toMatch(
      /^ERROR: unknown command: nonsense\r\nERROR: unknown command: md5\r\nuptime: \d+\r\n\.\r\n$/,
    );
  });

  test('a line without an end is cut off, and bytes of any value do no harm', async () => {
    const { dial, url } = await start();
    const client = dial();
    client.socket.write('x'.repeat(1_000_000));
    await until('the connection is closed', () => client.closed);
    expect(client.received).toBe('ERROR: line too long\r\n');
    const other = dial();
    other.socket.write(Buffer.from([0, 255, 10, 13, 10, 37, 0, 10]));
    expect(await other.lines(2)).toMatch(/^ERROR: .*\r\nERROR: .*\r\n$/s);
    expect((await put(`${url}${path}`, 'x')).status).toBe(200);
  });

  test('a client that does not read gets no more answers until it does', async () => {
    const { dial } = await start();
    const client = dial();
    client.socket.pause();
    const line = `size /dev9/${'x'.repeat(8_000)}\n`;
    const count = 8_000;
    let taken = 0;
    for (let sent = 0; sent < count; sent += 1) {
      client.socket.write(line, () => {
        taken += 1;
      });
    }
    let before = -1;
    const stands = () => {
      const same = taken > 0 && taken === before;
      before = taken;
      return same;
    };
    await until('no more is taken', stands, { everyMs: 200 });
    // What the kernel holds for both ends is a small part of it.
    expect(taken).toBeLessThan(count);
    client.socket.resume();
    const answered = () => client.received.endsWith('-1\r\n') && client.received.split('\n');
    await until('all is answered', () => (answered() || []).length === count + 1, { everyMs: 200 });
  });

  test('where URLs are signed, only this machine may stop the node', async () => {
    const asked: string[] = [];
    const devices = await Devices.open({
      docroot: await createDocroot(),
      sync: 'always',
      threads: 4,
      reserveBytes: 0,
      adopt: [],
      log: quiet,
    });
    const digests = new Digests(devices);
    const onShutdown = (how: string) => asked.push(how);
    const commands = { devices, digests, startedAtMs: 0, onShutdown };
    const order = (mayStop: boolean) =>
      answer(commands, 'Shutdown graceful', { aborted: () => false, mayStop });
    expect(await order(false)).toMatch(/^ERROR: .*\r\n$/);
    expect(asked).toEqual([]);
    expect(await order(true)).toBeUndefined();
    expect(asked).toEqual(['graceful']);
    expect(['127.3.2.1', '::1', '::ffff:127.0.0.1'].every(isLoopback)).toBe(true);
    expect(['10.0.0.1', '2001:db8::1', '::ffff:10.0.0.1', ''].some(isLoopback)).toBe(false);
  });

  test('a half-closed client still gets its answers', async () => {
    const client = (await start()).dial();
    client.socket.end(`size ${path}\nsize ${path}\n`);
    expect(await client.lines(2)).toBe(`${path} -1\r\n${path} -1\r\n`);
    await until('the connection is closed', () => client.closed);
  });
});
