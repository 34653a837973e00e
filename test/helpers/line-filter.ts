/** Stands before a tracker and lets only some commands through, as an older tracker would. */
import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { createInterface } from 'node:readline';

export class LineFilter {
  /** Commands that were sent, each once. */
  readonly seen = new Set<string>();
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((client) => this.#serve(client));
  /** Answers instead of the tracker; undefined lets a command through, after a while perhaps. */
  answer: (command: string) => string | undefined | Promise<undefined> = () => undefined;
  address = '';
  #upstream = '';

  static async before(tracker: string): Promise<LineFilter> {
    const filter = new LineFilter();
    filter.#upstream = tracker;
    filter.#server.listen(0, '127.0.0.1');
    await once(filter.#server, 'listening');
    const bound = filter.#server.address();
    filter.address = `127.0.0.1:${typeof bound === 'object' && bound ? bound.port : 0}`;
    return filter;
  }

  stop(): void {
    this.#server.close();
    for (const socket of this.#sockets) socket.destroy();
  }

  #serve(client: Socket): void {
    const [host = '', port = ''] = this.#upstream.split(':');
    const tracker = connect({ host, port: Number(port), noDelay: true });
    for (const socket of [client, tracker]) {
      this.#sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        client.destroy();
        tracker.destroy();
        this.#sockets.delete(socket);
      });
    }
    tracker.pipe(client);
    const lines = createInterface({ input: client });
    lines.on('error', () => {});
    let before: Promise<void> = Promise.resolve();
    lines.on('line', (line) => {
      const command = line.split(' ')[0] ?? '';
      this.seen.add(command);
      before = before.then(async () => {
        const answer = await this.answer(command);
        if (answer === undefined) tracker.write(`${line}\r\n`);
        else client.write(`${answer}\r\n`);
      });
    });
  }
}
