/** Asks storage nodes for replicas over kept connections: length by HEAD, digest by reading all. */
import { createHash } from 'node:crypto';
import { Agent, type IncomingMessage, request } from 'node:http';
import { type HashType, hashTypes } from '@omgfs/protocol';

export type ReplicaState =
  | { state: 'present'; bytes: number; hex?: string }
  | { state: 'missing' }
  | { state: 'unreachable'; reason: string };

/** A node that is silent for so long is given up. */
const silentMsMax = 30_000;

export class ReplicaReader {
  readonly #agent: Agent;

  constructor(options: { connectionsPerHost: number }) {
    this.#agent = new Agent({ keepAlive: true, maxSockets: options.connectionsPerHost });
  }

  size(url: string): Promise<ReplicaState> {
    return this.#ask('HEAD', url, async (reply) => {
      reply.resume();
      return { state: 'present', bytes: Number(reply.headers['content-length'] ?? Number.NaN) };
    });
  }

  digest(url: string, type: HashType): Promise<ReplicaState> {
    return this.#ask('GET', url, async (reply) => {
      const hash = createHash(hashTypes[type].algorithm);
      let bytes = 0;
      for await (const chunk of reply as AsyncIterable<Buffer>) {
        hash.update(chunk);
        bytes += chunk.length;
      }
      return { state: 'present', bytes, hex: hash.digest('hex') };
    });
  }

  close(): void {
    this.#agent.destroy();
  }

  /** Never rejects. */
  async #ask(
    method: 'GET' | 'HEAD',
    url: string,
    read: (reply: IncomingMessage) => Promise<ReplicaState>,
  ): Promise<ReplicaState> {
    try {
      const reply = await this.#send(method, url);
      if (reply.statusCode === 200) return await read(reply);
      reply.resume();
      if (reply.statusCode === 404) return { state: 'missing' };
      return { state: 'unreachable', reason: `answered ${reply.statusCode}` };
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      return { state: 'unreachable', reason };
    }
  }

  #send(method: 'GET' | 'HEAD', url: string): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const sent = request(url, { method, agent: this.#agent, timeout: silentMsMax }, resolve);
      sent.once('timeout', () => sent.destroy(new Error(`silent for ${silentMsMax} ms`)));
      sent.once('error', reject);
      sent.end();
    });
  }
}
