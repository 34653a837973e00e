/** The HTTP API of a tracker on all its addresses; it runs where the jobs run. */
import { HttpServer } from '../http/server.ts';
import type { Core } from './core.ts';

export class HttpServers {
  readonly #core: Core;
  readonly #servers: HttpServer[] = [];

  constructor(core: Core) {
    this.#core = core;
  }

  /** @returns the real port of the first address; undefined without one. */
  async listen(): Promise<number | undefined> {
    let port: number | undefined;
    const { config, dispatcher, log } = this.#core;
    for (const address of config.httpListen) {
      const server = new HttpServer({
        call: (request) => dispatcher.call(request),
        readiness: () => this.#core.readiness(),
        access: config.httpAccess,
        log,
      });
      this.#servers.push(server);
      const bound = await server.listen(address);
      port ??= bound.port;
    }
    return port;
  }

  async close(options: { graceMs: number }): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.close(options)));
  }
}
