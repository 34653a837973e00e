/**
 * The jobs process: monitor and jobs. It describes the cluster to the processes that execute
 * commands; a description is sent when something changed, and before a refresh is answered.
 */
import { toOmgfsError } from '@omgfs/protocol';
import type { TrackerConfig } from '../config.ts';
import { Channel } from './channel.ts';
import { Core } from './core.ts';
import { JobRunner } from './job-runner.ts';
import type { Role } from './lifecycle.ts';

export class JobsRole implements Role {
  readonly #jobs = new JobRunner();
  readonly #channel: Channel;
  readonly #core: Core;
  #linesWanted = false;
  #ready = false;
  #described = '';
  #changed = false;

  constructor(config: TrackerConfig, end: () => void) {
    this.#core = new Core(config, {
      role: 'jobs',
      onLine: (line) => this.#linesWanted && this.#channel.tell('line', line),
      onFatal: (error) => this.#channel.tell('fatal', toOmgfsError(error).message),
      open: async (core) => {
        const opened = await this.#jobs.open(core);
        this.#ready = true;
        this.#describe();
        core.topology.onChange(() => this.#describeSoon());
        return opened;
      },
    });
    this.#channel = new Channel(process, {
      refresh: () => this.#afterwards(this.#jobs.refresh()),
      reload: () => this.#afterwards(this.#jobs.reload()),
      nextSweep: () => this.#afterwards(this.#jobs.nextSweep()),
      wake: (job) => this.#jobs.wake(job),
      want: ({ job, count }) => this.#jobs.want(job, count),
      jobsReport: () => this.#jobs.report(),
      watch: (wanted) => {
        this.#linesWanted = wanted;
      },
      stop: async () => {
        this.#core.beginStop();
        await this.#core.close(() => this.#jobs.stop());
        setImmediate(end);
      },
    });
    this.#channel.tell('hello', { httpPort: undefined });
  }

  fail(error: unknown): void {
    this.#core.log.error({ err: error }, 'process.failed');
  }

  async #afterwards(work: Promise<void>): Promise<void> {
    await work;
    this.#describe();
  }

  #describeSoon(): void {
    if (this.#changed) return;
    this.#changed = true;
    setImmediate(() => this.#describe());
  }

  #describe(): void {
    this.#changed = false;
    if (!this.#ready) return;
    const picture = this.#core.topology.snapshot();
    const text = JSON.stringify(picture);
    if (text === this.#described) return;
    this.#described = text;
    this.#channel.tell('picture', picture);
  }
}
