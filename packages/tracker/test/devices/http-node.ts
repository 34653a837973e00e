/**
 * Small HTTP servers that misbehave as told, for the edges that a right storage node never shows.
 */
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo, createServer as createTcpServer, type Socket } from 'node:net';
import { onTestFinished } from 'vitest';

export interface TestNode {
  base: string;
  /** `METHOD path` of each request, in order. */
  seen: string[];
  /** Files by path: what was PUT whole, and what a test puts there. */
  files: Map<string, Buffer>;
}

type Answer = (request: IncomingMessage, response: ServerResponse) => unknown;

/**
 * Serves files from memory; `answer` may take a request over by returning something other than
 * undefined.
 */
export async function startTestNode(
  answer: Answer = () => undefined,
  host = '127.0.0.1',
): Promise<TestNode> {
  const node: TestNode = { base: '', seen: [], files: new Map() };
  const server = createServer(async (request, response) => {
    node.seen.push(`${request.method} ${request.url}`);
    if (answer(request, response) !== undefined) return;
    const path = request.url ?? '';
    if (request.method === 'PUT') {
      const chunks: Buffer[] = [];
      try {
        for await (const chunk of request) chunks.push(chunk as Buffer);
      } catch {
        return;
      }
      node.files.set(path, Buffer.concat(chunks));
      response.writeHead(200).end();
      return;
    }
    const body = node.files.get(path);
    if (body === undefined) response.writeHead(404).end('no such file');
    else if (request.method === 'DELETE') {
      node.files.delete(path);
      response.writeHead(204).end();
    } else response.writeHead(200, { 'content-length': body.length }).end(body);
  });
  node.base = await listen(server, host);
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return node;
}

/** A server below HTTP: gets each connection with its number, counted from 1. */
export async function startTcpNode(
  onConnection: (socket: Socket, number: number) => void,
  host = '127.0.0.1',
): Promise<string> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    onConnection(socket, sockets.size);
  });
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return listen(server, host);
}

async function listen(server: ReturnType<typeof createTcpServer>, host: string): Promise<string> {
  await new Promise<void>((resolve) => {
    server.listen(0, host, resolve);
  });
  return `http://${host}:${(server.address() as AddressInfo).port}`;
}
