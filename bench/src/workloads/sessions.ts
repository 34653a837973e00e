/**
 * What an application does with a tracker and its storage nodes, one session a turn: store, look
 * up, read, delete. Every caller has a tracker connection of its own; connections to storage nodes
 * are as many as there are requests in flight.
 */
import { HttpPool } from '../load/http-connection.ts';
import { field, type HostPort, LineConnection, rawField } from '../load/line-connection.ts';
import type { Session } from '../load/turn.ts';
import type { Series } from './series.ts';

export interface Target {
  tracker: HostPort;
  /** Encoded for the wire. */
  domain: string;
}

/** `create_open`, PUT, `create_close`: counts when the tracker has acknowledged the file. */
export async function openStore(
  target: Target,
  options: { series: Series; callers: number },
): Promise<Session> {
  const { series } = options;
  const lines = await openLines(target, options.callers);
  const storage = new HttpPool();
  const body = Buffer.alloc(series.bytes, 'x');
  return {
    run: async (caller) => {
      const line = lineOf(lines, caller);
      const where = `domain=${target.domain}&key=${series.keyToStore()}`;
      const opened = await line.ask(`create_open ${where}&class=${series.className}\r\n`);
      const path = rawField(opened, 'path');
      await storage.put(field(opened, 'path'), body);
      const place = `fid=${rawField(opened, 'fid')}&devid=${rawField(opened, 'devid')}`;
      await line.ask(`create_close ${where}&${place}&path=${path}&size=${body.length}\r\n`);
    },
    close: async () => {
      closeLines(lines);
      storage.close();
    },
  };
}

/** `get_paths` with `noverify`, as a proxy in front asks it. */
export async function openGetPaths(
  target: Target,
  options: { series: Series; callers: number },
): Promise<Session> {
  const lines = await openLines(target, options.callers);
  return {
    run: async (caller) => {
      const key = options.series.anyKey();
      const request = `get_paths domain=${target.domain}&key=${key}&noverify=1\r\n`;
      const reply = await lineOf(lines, caller).ask(request);
      if (!reply.includes('path1=')) throw new Error(`no path for ${key}: ${reply}`);
    },
    close: async () => closeLines(lines),
  };
}

/** GET of whole files straight from whatever serves `urls`. */
export async function openRead(options: {
  urls: readonly string[];
  bytes: number;
}): Promise<Session> {
  const { urls, bytes } = options;
  const storage = new HttpPool();
  return {
    run: () => storage.get(urls[Math.floor(Math.random() * urls.length)] ?? '', bytes),
    close: async () => storage.close(),
  };
}

/** `delete` of names of the series, each once. */
export async function openDelete(
  target: Target,
  options: { series: Series; callers: number },
): Promise<Session> {
  const lines = await openLines(target, options.callers);
  return {
    run: async (caller) => {
      const key = options.series.keyToDelete();
      const line = lineOf(lines, caller);
      const reply = await line.exchange(`delete domain=${target.domain}&key=${key}\r\n`);
      // A name whose store failed was never there.
      if (reply.startsWith('OK') || reply.startsWith('ERR unknown_key')) return;
      throw new Error(`delete ${key}: ${reply}`);
    },
    close: async () => closeLines(lines),
  };
}

function openLines(target: Target, count: number): Promise<LineConnection[]> {
  return Promise.all(Array.from({ length: count }, () => LineConnection.open(target.tracker)));
}

function lineOf(lines: readonly LineConnection[], caller: number): LineConnection {
  const line = lines[caller];
  if (line === undefined) throw new RangeError(`caller ${caller} has no connection`);
  return line;
}

function closeLines(lines: readonly LineConnection[]): void {
  for (const line of lines) line.close();
}
