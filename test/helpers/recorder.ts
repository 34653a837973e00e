/** Servers that keep every request and answer as a test says, behind a real proxy. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders, type RequestListener } from 'node:http';

export const bytes = Buffer.from('0123456789');

interface Seen {
  method: string;
  url: string;
  headers: IncomingHttpHeaders;
  body: string;
  /** Port of the other end: the same for what came over one connection. */
  from: number | undefined;
}

export interface Recorder {
  url: string;
  seen: Seen[];
  answer: RequestListener;
  stop(): void;
}

export async function record(initial: RequestListener, ip = '127.0.0.1'): Promise<Recorder> {
  const server = createServer(async (incoming, response) => {
    const { method = '', url = '', headers } = incoming;
    let body = '';
    for await (const chunk of incoming) body += String(chunk);
    recorder.seen.push({ method, url, headers, body, from: incoming.socket.remotePort });
    recorder.answer(incoming, response);
  });
  server.listen(0, ip);
  await once(server, 'listening');
  const bound = server.address();
  const recorder: Recorder = {
    url: `http://${ip}:${typeof bound === 'object' && bound ? bound.port : 0}`,
    seen: [],
    answer: initial,
    stop: () => {
      server.close();
      server.closeAllConnections();
    },
  };
  return recorder;
}

/** Answers as a storage node does. */
export const serve: RequestListener = ({ headers: { range } }, response) => {
  const match = /^bytes=(\d+)-(\d+)$/.exec(range ?? '');
  const [start, end] = match ? [Number(match[1]), Number(match[2])] : [0, bytes.length - 1];
  response.writeHead(match ? 206 : 200, {
    'content-type': 'application/octet-stream',
    'content-length': end - start + 1,
    etag: '"7-10"',
    'x-accel-redirect': '/elsewhere',
    ...(match ? { 'content-range': `bytes ${start}-${end}/${bytes.length}` } : {}),
  });
  response.end(bytes.subarray(start, end + 1));
};
export const status =
  (code: number): RequestListener =>
  (_, response) =>
    response.writeHead(code).end('no');
export const cut: RequestListener = (incoming) => incoming.socket.destroy();
