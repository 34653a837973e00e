/**
 * The HTTP process: the HTTP API with the bytes of its files, apart from the jobs, so that a busy
 * download slows no job and a slow job no download. It knows the cluster as the jobs process
 * describes it, as query processes do.
 */
import { toOmgfsError } from '@omgfs/protocol';
import type { TrackerConfig } from '../config.ts';
import { Channel } from './channel.ts';
import { Core } from './core.ts';
import { HttpServers } from './http-servers.ts';
import type { Role } from './lifecycle.ts';
import { RemoteJobs } from './remote-jobs.ts';

export class HttpRole implements Role {
  readonly #channel: Channel;
  readonly #core: Core;
  #linesWanted = false;
  #announcePicture: () => void = () => {};

  constructor(config: TrackerConfig, end: () => void) {
    const firstPicture = new Promise<void>((resolve) => {
      this.#announcePicture = resolve;
    });
    this.#core = new Core(config, {
      role: 'http',
      onLine: (line) => this.#linesWanted && this.#channel.tell('line', line),
      onFatal: (error) => this.#channel.tell('fatal', toOmgfsError(error).message),
      open: async (core) => {
        // The jobs process makes the schema, so the database is opened after it was.
        await core.unlessStopped(firstPicture);
        const store = await core.openStore({ createSchema: false });
        return { store, background: new RemoteJobs(() => this.#channel) };
      },
    });
    const http = new HttpServers(this.#core, () => this.#channel.call('survey', undefined));
    this.#channel = new Channel(process, {
      picture: (picture) => {
        this.#core.topology.restore(picture);
        this.#announcePicture();
      },
      httpReport: () => ({
        pid: process.pid,
        commands: this.#core.dispatcher.counts.entries(),
        residentBytes: process.memoryUsage.rss(),
      }),
      watch: (wanted) => {
        this.#linesWanted = wanted;
      },
      stop: async ({ graceMs }) => {
        this.#core.beginStop();
        await http.close({ graceMs });
        await this.#core.close();
        setImmediate(end);
      },
    });
    http.listen().then(
      (httpPort) => this.#channel.tell('hello', { httpPort }),
      (error: unknown) => this.#channel.tell('fatal', toOmgfsError(error).message),
    );
  }

  fail(error: unknown): void {
    this.#core.log.error({ err: error }, 'process.failed');
  }
}
