/**
 * Goal: put, delete and rename tell the truth although answers get lost, destinations fail and
 * sources break; what failed is given up at the tracker.
 * Method: a scripted tracker and HTTP servers that break in the ways of each test.
 */
import { randomBytes } from 'node:crypto';
import { rmSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { type Client, createClient } from '../src/index.ts';
import { HttpNode } from './http-node.ts';
import { type Call, codeOf, LineServer } from './line-server.ts';

const body = randomBytes(3_000_000);
const opened: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const close of opened.splice(0).reverse()) await close();
});

const store: RequestListener = (request, response) => {
  request.on('end', () => response.writeHead(201).end());
};

async function node(answer: RequestListener = store): Promise<HttpNode> {
  const started = await HttpNode.start(answer);
  opened.push(() => started[Symbol.asyncDispose]());
  return started;
}

/** Where a node hangs, or is not to be given up. */
const stallMs = 1_500;
/** Where nodes are healthy, on however busy a machine. */
const patience = { stallMs: 30_000 };

type Answers = Record<string, (call: Call) => string | undefined>;

/** A tracker that offers these nodes, fid 1, 2, … at each open. */
async function trackerOf(nodes: HttpNode[], answers: Answers = {}): Promise<LineServer> {
  let fid = 0;
  const tracker = await LineServer.start((call) => {
    const answer = answers[call.args.key === '' ? 'abandon' : call.command];
    if (answer !== undefined) return answer(call);
    if (call.command !== 'create_open') return 'OK \r\n';
    fid += 1;
    const fields = nodes.map((one, at) => {
      return `&devid_${at + 1}=${at + 1}&path_${at + 1}=${one.path(at + 1, fid)}`;
    });
    return `OK fid=${fid}&dev_count=${nodes.length}${fields.join('')}\r\n`;
  });
  opened.push(() => tracker[Symbol.asyncDispose]());
  return tracker;
}

function clientOf(tracker: LineServer, options = patience): Client {
  const client = createClient({ trackers: [tracker.address], domain: 'd', ...options });
  opened.push(() => client.close());
  return client;
}

const lose = ({ socket }: Call): undefined => {
  socket.destroy();
};

async function* pieces(): AsyncGenerator<Buffer> {
  for (let at = 0; at < body.length; at += 65_536) yield body.subarray(at, at + 65_536);
}

/** Abandoned uploads as `fid:devid`. */
function abandoned(tracker: LineServer): string[] {
  const calls = tracker.calls.filter(({ command, args }) => {
    return command === 'create_close' && args.key === '';
  });
  return calls.map(({ args }) => `${args.fid}:${args.devid}`);
}

describe('a close whose answer is lost', () => {
  test('is a success when the file is current', async () => {
    const answers = { create_close: lose, file_info: () => 'OK fid=1\r\n' };
    const tracker = await trackerOf([await node()], answers);
    expect((await clientOf(tracker).put('k', body)).fid).toBe(1);
    expect(tracker.commands).toEqual(['create_open', 'create_close', 'file_info']);
  });

  test('is repeated when the file is not current', async () => {
    let closes = 0;
    const answers: Answers = {
      create_close: (call) => {
        closes += 1;
        return closes === 1 ? lose(call) : 'OK \r\n';
      },
      file_info: () => 'ERR unknown_key unknown_key\r\n',
    };
    const tracker = await trackerOf([await node()], answers);
    await clientOf(tracker).put('k', body);
    expect(closes).toBe(2);
    expect(abandoned(tracker)).toEqual([]);
  });

  test('is a failure when it is closed but another file is current', async () => {
    let closes = 0;
    const answers: Answers = {
      create_close: (call) => {
        closes += 1;
        return closes === 1 ? lose(call) : 'ERR no_temp_file No+tempfile\r\n';
      },
      file_info: () => 'OK fid=99\r\n',
    };
    const tracker = await trackerOf([await node()], answers);
    expect(await codeOf(clientOf(tracker).put('k', body))).toBe('NO_TRACKER_UP');
  });

  test('is found out when the tracker was away for a moment', async () => {
    const tracker = await trackerOf([await node()], { file_info: () => 'OK fid=1\r\n' });
    const answer = tracker.script;
    let back: Promise<void> | undefined;
    tracker.script = (call) => {
      if (call.command !== 'create_close' || back !== undefined) return answer(call);
      back = tracker.close().then(() => tracker.listen());
      return undefined;
    };
    expect((await clientOf(tracker).put('k', body)).fid).toBe(1);
    await back;
  });
});

describe('a close that is refused', () => {
  test('by what is on the device is tried on a new fid', async () => {
    let closes = 0;
    const answers: Answers = {
      create_close: () => {
        closes += 1;
        return closes === 1 ? 'ERR size_mismatch Expected:+3\r\n' : 'OK \r\n';
      },
    };
    const tracker = await trackerOf([await node()], answers);
    expect((await clientOf(tracker).put('k', body)).fid).toBe(2);
    expect(abandoned(tracker)).toEqual(['1:1']);
  });

  test('by the namespace is final', async () => {
    const answers = { create_close: () => 'ERR unreg_domain Domain+name+invalid/not+found\r\n' };
    const tracker = await trackerOf([await node()], answers);
    expect(await codeOf(clientOf(tracker).put('k', body))).toBe('UNREG_DOMAIN');
    expect(tracker.commands).toEqual(['create_open', 'create_close', 'create_close']);
  });
});

describe('a destination', () => {
  const failing: [string, RequestListener][] = [
    ['is full', (_, response) => response.writeHead(507).end('The device is full.')],
    [
      'is full and says so before it has read anything',
      (request, response) => {
        request.pause();
        response.writeHead(507, { connection: 'close' }).end();
      },
    ],
    ['hangs', (request) => request.pause()],
    [
      'breaks in mid-body',
      (request) => request.once('data', () => request.socket.resetAndDestroy()),
    ],
  ];
  test.each(failing)('that %s is one of several', async (what, answer) => {
    const [bad, good] = [await node(answer), await node()];
    const tracker = await trackerOf([bad, good]);
    await clientOf(tracker, { stallMs }).put('k', body);
    expect(good.seen[0]?.body.equals(body)).toBe(true);
    const close = tracker.calls.find(({ command }) => command === 'create_close');
    expect(close?.args).toMatchObject({ devid: '2', path: good.path(2, 1), size: '3000000' });
    // It may have the file, unless it said no: the tracker sees to it.
    if (!/^is full and/.test(what)) {
      expect(close?.args.left).toBe(what === 'is full' ? undefined : '1');
    }
  });

  test('that refuses before the stream passed its head can be replaced', async () => {
    const [first, good] = [await node(), await node()];
    const tracker = await trackerOf([first, good]);
    await first[Symbol.asyncDispose]();
    opened.splice(0, 1);
    await clientOf(tracker).put('k', pieces());
    expect(good.seen[0]?.body.equals(body)).toBe(true);
  });

  test('that breaks later cannot: the error says so, and the upload is given up', async () => {
    let bytes = 0;
    const bad = await node((request) => {
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length;
        if (bytes > 2_000_000) request.socket.destroy();
      });
    });
    const other = await node();
    const tracker = await trackerOf([bad, other]);
    const put = clientOf(tracker).put('k', pieces());
    await expect(put).rejects.toMatchObject({ code: 'DEVICE_DOWN' });
    await expect(put).rejects.toThrow(/cannot be read again.*dev1 at http/);
    expect(other.seen).toEqual([]);
    expect(abandoned(tracker)).toEqual(['1:1']);
  });

  test('and all others fail: the error names each', async () => {
    const full: RequestListener = (_, response) => response.writeHead(507).end('full');
    const tracker = await trackerOf([await node(full), await node(full)]);
    const put = clientOf(tracker).put('k', body);
    await expect(put).rejects.toMatchObject({ code: 'DEVICE_FULL' });
    await expect(put).rejects.toThrow(/dev1 at .*507 full.*dev2 at .*507 full/);
    expect(abandoned(tracker)).toEqual(['1:2', '2:2', '3:2']);
  });

  test('is not given up because the source is slow', async () => {
    const good = await node();
    const tracker = await trackerOf([good]);
    async function* slow() {
      yield body.subarray(0, 2_000_000);
      const mark = performance.now();
      await until('time to pass', () => performance.now() - mark > stallMs + 500);
      yield body.subarray(2_000_000);
    }
    await clientOf(tracker, { stallMs }).put('k', slow());
    expect(good.seen.length).toBe(1);
  });
});

test('a source is cancelled when the upload fails', async () => {
  const full = await node((_, response) => response.writeHead(507).end());
  const source = Readable.from(pieces(), { objectMode: false });
  await codeOf(clientOf(await trackerOf([full])).put('k', source));
  expect(source.destroyed).toBe(true);
});

test('what the tracker said is told with the error', async () => {
  const tracker = await trackerOf([], { create_open: () => 'ERR failure Operation+failed\r\n' });
  const failure = clientOf(tracker).put('k', body);
  await expect(failure).rejects.toMatchObject({ code: 'FAILURE', details: { wire: 'failure' } });
});

test('a tracker that answers in the form for one destination is understood', async () => {
  const good = await node();
  const answers = { create_open: () => `OK fid=5&devid=1&path=${good.path(1, 5)}\r\n` };
  expect((await clientOf(await trackerOf([], answers)).put('k', body)).fid).toBe(5);
});

describe('a change whose answer is lost', () => {
  test.each(['delete', 'rename'])('%s: gone at the second try means done', async (command) => {
    let tries = 0;
    const answers: Answers = {
      [command]: (call) => {
        tries += 1;
        return tries === 1 ? lose(call) : 'ERR unknown_key unknown_key\r\n';
      },
    };
    const client = clientOf(await trackerOf([], answers));
    if (command === 'delete') expect(await client.delete('k')).toBe(true);
    else await client.rename('k', 'l');
    expect(tries).toBe(2);
  });

  test('gone at the first try is what it says', async () => {
    const gone = () => 'ERR unknown_key unknown_key\r\n';
    const client = clientOf(await trackerOf([], { delete: gone, rename: gone }));
    expect(await client.delete('k')).toBe(false);
    expect(await codeOf(client.rename('k', 'l'))).toBe('UNKNOWN_KEY');
  });
});

describe('a file', () => {
  const pieces = randomBytes(6_000_001);

  async function saved(): Promise<string> {
    const dir = await mkdtemp(join(tmpdir(), 'omgfs-upload-'));
    opened.push(() => rm(dir, { recursive: true, force: true }));
    const path = join(dir, 'file');
    await writeFile(path, pieces);
    return path;
  }

  test('arrives unchanged at a node that reads in fits and starts', async () => {
    const path = await saved();
    // Buffers are used again: what the socket still holds must not be written over.
    const slow = await node((request, response) => {
      request.on('data', () => {
        request.pause();
        setTimeout(() => request.resume(), 2);
      });
      store(request, response);
    });
    const client = clientOf(await trackerOf([slow]));
    await Promise.all([1, 2].map((n) => client.put(`k${n}`, { file: path })));
    expect(slow.seen.map((seen) => seen.body.equals(pieces))).toEqual([true, true]);
  });

  test('goes from its first byte to the next node when one breaks', async () => {
    const path = await saved();
    const broken = await node((request) => {
      request.once('data', () => request.socket.destroy());
    });
    const well = await node();
    await clientOf(await trackerOf([broken, well])).put('k', { file: path });
    expect(well.seen[0]?.body.equals(pieces)).toBe(true);
  });

  test('that is not there is refused before anything is asked', async () => {
    const tracker = await trackerOf([await node()]);
    const put = clientOf(tracker).put('k', { file: '/nonexistent/file' });
    await expect(put).rejects.toMatchObject({ code: 'BAD_ARGS' });
    await expect(put).rejects.toThrow(
      /cannot read .nonexistent.file: ENOENT.*check that it exists/,
    );
    expect(tracker.calls).toEqual([]);
  });

  test('that goes away meanwhile is the error, and the upload is given up', async () => {
    const path = await saved();
    const well = await node();
    const tracker = await trackerOf([well], {
      create_open: () => {
        rmSync(path, { force: true });
        return `OK fid=1&dev_count=1&devid_1=1&path_1=${well.path(1, 1)}\r\n`;
      },
    });
    const put = clientOf(tracker).put('k', { file: path });
    await expect(put).rejects.toMatchObject({ code: 'BAD_ARGS' });
    await expect(put).rejects.toThrow(/cannot read/);
    expect(tracker.calls.map(({ command, args }) => `${command} ${args.key}`)).toEqual([
      'create_open k',
      'create_close ',
    ]);
  });
});
