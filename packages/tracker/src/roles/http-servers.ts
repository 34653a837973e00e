/** The HTTP API of a tracker on all its addresses; it runs where the jobs run. */

import type { Survey } from '../figures/survey.ts';
import { createFileStore, type FileStore } from '../files/file-store.ts';
import type { DavShare } from '../http/dav/share.ts';
import type { FilesOptions } from '../http/files/routes.ts';
import { Transfers } from '../http/patience.ts';
import type { HttpServer } from '../http/server.ts';
import type { Core } from './core.ts';

export class HttpServers {
  readonly #core: Core;
  readonly #files: FileStore;
  readonly #survey: () => Promise<Survey>;
  readonly #servers: HttpServer[] = [];

  /** `survey` tells figures of all processes of the tracker. */
  constructor(core: Core, survey: () => Promise<Survey>) {
    this.#core = core;
    const { config, dispatcher } = core;
    this.#files = createFileStore({ ...config, call: (request) => dispatcher.call(request) });
    this.#survey = survey;
  }

  /** @returns the real port of the first address; undefined without one. */
  async listen(): Promise<number | undefined> {
    let port: number | undefined;
    const { config, dispatcher, log } = this.#core;
    const files = {
      files: this.#files,
      shape: config.httpDownload,
      uploadBytesMax: config.httpUploadBytesMax,
      transfers: new Transfers({
        max: config.httpTransfersMax,
        ...config.httpPace,
        onSlow: ({ socket, method, url }) => {
          log.info({ address: socket.remoteAddress, method, url }, 'http.client_slow');
        },
      }),
    };
    if (config.httpListen.length === 0) return undefined;
    const dav = await this.#share(files);
    // Loaded where it serves.
    const { HttpServer } = await import('../http/server.ts');
    for (const address of config.httpListen) {
      const server = new HttpServer({
        call: (request) => dispatcher.call(request),
        survey: this.#survey,
        readiness: () => this.#core.readiness(),
        access: config.httpAccess,
        files,
        dav,
        connectionsMax: config.connectionsMax,
        log,
      });
      this.#servers.push(server);
      const bound = await server.listen(address);
      port ??= bound.port;
    }
    return port;
  }

  async #share(files: FilesOptions): Promise<DavShare | undefined> {
    const { httpDav } = this.#core.config;
    if (httpDav === 'off') return undefined;
    // What it needs takes 20 MB in every process that loads it.
    const { DavShare } = await import('../http/dav/share.ts');
    return new DavShare(files, httpDav);
  }

  async close(options: { graceMs: number }): Promise<void> {
    await Promise.all(this.#servers.map((server) => server.close(options)));
    await this.#files.close();
  }
}
