/**
 * Goal: the pool never gives a caller another caller's reply, never repeats what may have been
 * done, finds a healthy tracker wherever there is one, and bounds every wait.
 * Method: real sockets to line servers that misbehave as each test scripts it.
 */
import { afterEach, describe, expect, test } from 'vitest';
import { until } from '../../../test/helpers/wait.ts';
import { createTrackerPool, type TrackerPoolOptions } from '../src/index.ts';
import { codeOf, LineServer, type Script } from './line-server.ts';

const opened: { close(): Promise<void> }[] = [];
afterEach(async () => {
  for (const one of opened.splice(0)) await one.close();
});

async function serve(script?: Script): Promise<LineServer> {
  const server = await LineServer.start(script);
  opened.push({ close: () => server[Symbol.asyncDispose]() });
  return server;
}

function poolOf(servers: LineServer[], options: Partial<TrackerPoolOptions> = {}) {
  const trackers = servers.map(({ address }) => address);
  const pool = createTrackerPool({ trackers, requestTimeoutMs: 20_000, ...options });
  opened.unshift(pool);
  return pool;
}

const echo: Script = ({ args }) => `OK said=${args.say}\r\n`;

describe('one request, one reply', () => {
  test('a late reply is never taken for the reply to another request', async () => {
    let first: (() => void) | undefined;
    const server = await serve(({ args, socket }) => {
      if (args.say !== 'one') return `OK said=${args.say}\r\n`;
      first = () => socket.write('OK said=one\r\n');
      return undefined;
    });
    const pool = poolOf([server], { connectionsMax: 1 });
    const late = pool.request('noop', { say: 'one' }, { deadlineMs: 1_000 });
    expect(await codeOf(late)).toBe('DEADLINE_EXCEEDED');
    const second = pool.request('noop', { say: 'two' });
    first?.();
    expect(await second).toEqual({ said: 'two' });
    expect(server.connections).toBe(2);
  });

  test('holds in a storm of aborts, deadlines, cut connections and late replies', async () => {
    const answerLate: Script = ({ args, socket }) => {
      const dice = Math.random();
      const reply = `OK said=${args.say}\r\n`;
      if (dice < 0.4) return reply;
      if (dice < 0.5) socket.destroy();
      else if (dice < 0.95) setTimeout(() => socket.write(reply), dice * 40);
      return undefined;
    };
    const pool = poolOf([await serve(answerLate), await serve(answerLate)], { connectionsMax: 8 });
    let answered = 0;
    const ask = async (say: number) => {
      const options =
        say % 2 === 0
          ? { deadlineMs: 1 + Math.random() * 40 }
          : { signal: AbortSignal.timeout(1 + Math.floor(Math.random() * 40)) };
      const fields = await pool.request('noop', { say }, options).catch(() => undefined);
      if (fields === undefined) return;
      answered += 1;
      expect(fields.said).toBe(String(say));
    };
    // A busy machine answers few in time, so there are as many waves as it takes.
    for (let wave = 0; wave < 20 || answered <= 100; wave += 1) {
      await Promise.all(Array.from({ length: 50 }, (_, n) => ask(wave * 50 + n)));
    }
  });

  test('a connection whose request was aborted is not used again', async () => {
    const server = await serve((call) => (call.args.say === 'one' ? undefined : echo(call)));
    const pool = poolOf([server], { connectionsMax: 1 });
    const abort = new AbortController();
    const first = pool.request('noop', { say: 'one' }, { signal: abort.signal });
    await until('the request to arrive', () => server.calls.length === 1);
    abort.abort(new Error('enough'));
    await expect(first).rejects.toThrow('enough');
    expect(await pool.request('noop', { say: 'two' })).toEqual({ said: 'two' });
    expect(server.connections).toBe(2);
  });

  test.each([
    ['a reply that is none', 'HTTP/1.1 400 Bad Request\r\n'],
    ['two replies at once', 'OK said=one\r\nOK said=two\r\n'],
    ['a reply with more behind it', 'OK said=one\r\nO'],
  ])('%s ends the connection', async (_, answer) => {
    const server = await serve((call) => (call.args.say === 'one' ? answer : echo(call)));
    const pool = poolOf([server], { connectionsMax: 1 });
    expect(await codeOf(pool.request('noop', { say: 'one' }))).toBe('BAD_REPLY');
    expect(await pool.request('noop', { say: 'three' })).toEqual({ said: 'three' });
  });

  test('a line without end is cut off at the limit', async () => {
    const server = await serve(({ socket }) => {
      const piece = Buffer.alloc(64 * 1024, 'x');
      const flood = () => {
        while (!socket.destroyed && socket.write(piece));
      };
      socket.on('drain', flood);
      flood();
      return undefined;
    });
    const pool = poolOf([server], { requestTimeoutMs: 20_000 });
    expect(await codeOf(pool.request('noop'))).toBe('BAD_REPLY');
  });

  test('a long reply in many pieces arrives whole', async () => {
    const value = 'v'.repeat(1_000_000);
    const server = await serve(() => `OK value=${value}\r\n`);
    const fields = await poolOf([server], { requestTimeoutMs: 10_000 }).request('noop');
    expect(fields.value).toBe(value);
  });

  test('keys and values are byte strings', async () => {
    const server = await serve(({ args }) => `OK length=${args.key?.length}\r\n`);
    const key = '\x00\n\r\xff &=%+';
    expect(await poolOf([server]).request('noop', { key })).toEqual({ length: '9' });
    expect(server.calls[0]?.args.key).toBe(key);
  });
});

describe('connections', () => {
  test('are used again', async () => {
    const server = await serve(echo);
    const pool = poolOf([server]);
    for (let n = 0; n < 5; n += 1) await pool.request('noop', { say: n });
    expect(server.connections).toBe(1);
  });

  test('are bounded, and who waits longest comes next', async () => {
    const server = await serve(() => undefined);
    const pool = poolOf([server], { connectionsMax: 2, requestTimeoutMs: 10_000 });
    const done: number[] = [];
    const requests = [0, 1, 2, 3, 4, 5].map((say) =>
      pool.request('noop', { say }).then(() => done.push(say)),
    );
    for (let n = 0; n < requests.length; n += 1) {
      const call = await until('the next request', () => server.calls[n]);
      expect(server.connections).toBeLessThanOrEqual(2);
      call.socket.write('OK \r\n');
    }
    await Promise.all(requests);
    expect(done).toEqual([0, 1, 2, 3, 4, 5]);
  });

  test('waiting for one is bounded too', async () => {
    const server = await serve(() => undefined);
    const pool = poolOf([server], { connectionsMax: 1, requestTimeoutMs: 10_000 });
    const holder = pool.request('noop');
    await until('the request to arrive', () => server.calls.length === 1);
    expect(await codeOf(pool.request('noop', {}, { deadlineMs: 50 }))).toBe('DEADLINE_EXCEEDED');
    server.calls[0]?.socket.write('OK \r\n');
    await holder;
    server.script = echo;
    expect(await pool.request('noop', { say: 1 })).toEqual({ said: '1' });
  });

  test('that died while idle do not count against the limit', async () => {
    const server = await serve(echo);
    const pool = poolOf([server], { connectionsMax: 1 });
    for (let n = 0; n < 3; n += 1) {
      expect(await pool.request('noop', { say: n })).toEqual({ said: String(n) });
      await server.close();
      await server.listen();
    }
    expect(await pool.request('noop', { say: 'x' })).toEqual({ said: 'x' });
  });

  test('after a close nothing hangs', async () => {
    const server = await serve(() => undefined);
    const pool = poolOf([server], { connectionsMax: 1, requestTimeoutMs: 10_000 });
    const requests = [pool.request('noop'), pool.request('noop'), pool.request('noop')];
    const outcomes = Promise.allSettled(requests);
    await until('a request to arrive', () => server.calls.length === 1);
    await pool.close();
    for (const { status } of await outcomes) expect(status).toBe('rejected');
    expect(await codeOf(pool.request('noop'))).toBe('NO_TRACKER_UP');
    const never = poolOf([server]);
    const request = never.request('noop');
    await never.close();
    expect(await codeOf(request)).toBe('NO_TRACKER_UP');
  });
});

describe('several trackers', () => {
  test('share the requests', async () => {
    const servers = [await serve(), await serve(), await serve()];
    const pool = poolOf(servers);
    for (let n = 0; n < 9; n += 1) await pool.request('noop');
    expect(servers.map(({ calls }) => calls.length)).toEqual([3, 3, 3]);
  });

  test('one that is down is asked last, and comes back by itself', async () => {
    const down = await serve();
    const up = await serve();
    await down.close();
    const pool = poolOf([down, up]);
    for (let n = 0; n < 20; n += 1) await pool.request('noop');
    expect(up.calls.length).toBe(20);
    await down.listen();
    await until('the tracker to be asked again', async () => {
      await pool.request('noop');
      return down.calls.length > 0;
    });
  });

  test('one that hangs costs its time-out once, then rests', async () => {
    const hung = await serve(() => undefined);
    const up = await serve();
    const pool = poolOf([hung, up], { requestTimeoutMs: 500 });
    await Promise.all([pool.request('noop'), pool.request('noop')]);
    // At once, because a rest is short at first.
    await Promise.all(Array.from({ length: 10 }, () => pool.request('noop')));
    expect(hung.calls.length).toBeLessThanOrEqual(2);
  });

  test('a change goes to the other when the first is down, since nothing was sent', async () => {
    const down = await serve();
    const up = await serve();
    await down.close();
    const pool = poolOf([down, up]);
    for (let n = 0; n < 2; n += 1) await pool.request('delete', { key: 'k' });
    expect(up.commands).toEqual(['delete', 'delete']);
  });

  test('a change that may have been executed is not repeated, and the error says so', async () => {
    const servers = [await serve(), await serve()];
    for (const server of servers) {
      server.script = ({ socket }) => {
        socket.destroy();
        return undefined;
      };
    }
    const request = poolOf(servers).request('create_domain', { domain: 'd' });
    await expect(request).rejects.toMatchObject({
      code: 'NO_TRACKER_UP',
      details: { uncertain: true },
    });
    expect(servers.flatMap(({ commands }) => commands)).toEqual(['create_domain']);
  });

  test('a lookup whose connection breaks goes to the other', async () => {
    const cut: Script = ({ socket }) => {
      socket.write('OK pa');
      socket.destroy();
      return undefined;
    };
    const pool = poolOf([await serve(cut), await serve(echo)]);
    for (let n = 0; n < 2; n += 1) {
      expect(await pool.request('get_paths', { say: n })).toEqual({ said: String(n) });
    }
  });

  test('one whose database fails it is passed over for lookups', async () => {
    const sick = await serve(() => 'ERR failure Operation+failed\r\n');
    const pool = poolOf([sick, await serve(echo)]);
    for (let n = 0; n < 2; n += 1) {
      expect(await pool.request('file_info', { say: n })).toEqual({ said: String(n) });
    }
    expect(sick.calls.length).toBe(1);
  });

  test('a refusal is final', async () => {
    const servers = [await serve(), await serve()];
    for (const server of servers) server.script = () => 'ERR unknown_key unknown_key\r\n';
    expect(await codeOf(poolOf(servers).request('get_paths'))).toBe('UNKNOWN_KEY');
    expect(servers.flatMap(({ calls }) => calls).length).toBe(1);
  });

  test('when all are down the error names each', async () => {
    const servers = [await serve(), await serve()];
    for (const server of servers) await server.close();
    const request = poolOf(servers).request('noop');
    await expect(request).rejects.toMatchObject({
      code: 'NO_TRACKER_UP',
      details: { uncertain: false },
    });
    for (const { address } of servers) await expect(request).rejects.toThrow(address);
  });

  test('a deadline covers all tries together', async () => {
    const servers = [await serve(() => undefined), await serve(() => undefined)];
    const pool = poolOf(servers, { requestTimeoutMs: 60_000 });
    expect(await codeOf(pool.request('noop', {}, { deadlineMs: 100 }))).toBe('DEADLINE_EXCEEDED');
    // None where the machine was too busy to bring it there in time.
    expect(servers.flatMap(({ calls }) => calls).length).toBeLessThanOrEqual(1);
  });
});

test.each(['', 'host', 'host:', 'host:0', 'host:70000', 'a b:7001', ':7001'])(
  "the address '%s' is refused",
  async (address) => {
    await expect((async () => createTrackerPool({ trackers: [address] }))()).rejects.toMatchObject({
      code: 'BAD_ARGS',
    });
  },
);
