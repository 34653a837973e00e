/** What hostile or broken WebDAV clients send to any server: all of it is refused and borne. */
import { readdirSync, readFileSync } from 'node:fs';
import { connect } from 'node:net';

export const bodies: Readonly<Record<string, string>> = {
  bomb: '<!DOCTYPE a [<!ENTITY b "x">]><propfind xmlns="DAV:"><prop>&b;</prop></propfind>',
  deep: '<a>'.repeat(5000),
  wide: `<propfind xmlns="DAV:"><prop>${'<x/>'.repeat(20_000)}</prop></propfind>`,
  cut: '<propfind xmlns="DAV:"',
  unbound: '<D:propfind/>',
  binary: '\x00\xff\xfe',
};

/** Requests, each to be refused; headers behind bars. `base` is a collection with a file `f`. */
export function malformedAt(base: string): string[] {
  const paths = ['/%', `${base}/%00`, `${base}/%zz`, `${base}/..%2f..%2fetc`, '//../etc'];
  return [
    ...paths.map((path) => `PROPFIND ${path}`),
    `MOVE ${base}/f|Destination: %%%`,
    `MOVE ${base}/f`,
    `COPY ${base}/f|Destination: http://elsewhere${base}/g`,
    `COPY ${base}/f|Destination: http://x/%2e%2e/%2e%2e/ESC`,
    `MOVE ${base}|Destination: ${base}/inside`,
    `PROPFIND ${base}/|Depth: infinity`,
    `PROPFIND ${base}/|Depth: 17`,
    `PROPFIND ${base}/|Depth: 0|Content-Length: 1000000000000000`,
    `UNLOCK ${base}/f`,
    `UNLOCK ${base}/f|Lock-Token: <<>>`,
    `LOCK ${base}/f`,
    ...['(<', '()', '(Not)', '<a> <b>', '(['].map((value) => `MOVE ${base}/f|If: ${value}`),
    `MOVE ${base}/f|If: ${'(<a>)'.repeat(1500)}`,
    `FROB ${base}/`,
  ];
}

/** The bytes of a request of `malformedAt`. */
export function requestOf(line: string, body = ''): string {
  const [first = '', ...headers] = line.split('|');
  const length = line.includes('Content-Length') ? [] : [`Content-Length: ${body.length}`];
  const all = [`${first} HTTP/1.1`, 'Host: x', ...headers, ...length, 'Connection: close'];
  return `${all.join('\r\n')}\r\n\r\n${body}`;
}

/** Sends bytes and returns what came until the connection ended. */
export function raw(port: number, text: string): Promise<string> {
  return new Promise((resolve) => {
    let received = '';
    const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.from(text, 'latin1')));
    socket.on('data', (chunk) => {
      received += chunk;
      // The rest of a body that was announced never comes.
      if (/^HTTP\/1\.1 \d{3}/.test(received)) socket.end();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(received));
  });
}

/** As `raw`, but the client is done once it has sent everything. */
function rawBounded(port: number, text: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1', () => socket.end(Buffer.from(text, 'latin1')));
    socket.on('data', () => socket.destroy());
    socket.on('error', () => {});
    socket.on('close', () => resolve());
  });
}

/** Sends that many requests with one change each; the same ones every time. */
export async function sendMutations(port: number, base: string, count: number): Promise<void> {
  const seeds = [
    ...malformedAt(base).map((line) => requestOf(line)),
    ...Object.values(bodies).map((body) => requestOf(`PROPPATCH ${base}/f`, body)),
    requestOf(`PROPFIND ${base}/|Depth: 1`, '<propfind xmlns="DAV:"><allprop/></propfind>'),
    requestOf(`COPY ${base}/f|Destination: ${base}/g|Overwrite: T|If: (<a> ["b"])`),
  ].map((text) => text.slice(0, 2000));
  let state = 1;
  const random = (below: number) => {
    state = (state * 48_271) % 2_147_483_647;
    return state % below;
  };
  const mutate = (text: string) => {
    const at = random(text.length);
    const insert = String.fromCharCode(random(256)).repeat(random(3));
    // A head that never ends is for the timeouts; here it always does.
    return `${text.slice(0, at)}${insert}${text.slice(at + random(3))}\r\n\r\n`;
  };
  for (let n = 0; n < count; n += 20) {
    await Promise.all(
      Array.from({ length: 20 }, () => {
        return rawBounded(port, mutate(seeds[random(seeds.length)] ?? ''));
      }),
    );
  }
}

/** What a process holds. */
export function usageOf(pid: number): { descriptors: number; kilobytes: number } {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return {
    descriptors: readdirSync(`/proc/${pid}/fd`).length,
    kilobytes: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1]),
  };
}
