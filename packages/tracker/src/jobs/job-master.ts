/**
 * How many of each job run at once, as operators set it by `!want` and see it in `!jobs` (spec
 * §1.6). While the job master is off, the jobs that it feeds rest whatever is wanted of them (spec
 * §5.6); the original calls processes what is concurrency here.
 */

export interface Steerable {
  setConcurrency(count: number): void;
}

export interface JobCount {
  name: string;
  /** How many run at once. */
  count: number;
  desired: number;
}

const fed: ReadonlySet<string> = new Set(['replicate', 'delete', 'fsck']);

export class JobMaster {
  readonly #jobs: ReadonlyMap<string, readonly Steerable[]>;
  readonly #desired: Map<string, number>;
  #isOn: boolean;

  /** `desired` names every job; those of `jobs` are set to what may run now. */
  constructor(
    jobs: Readonly<Record<string, readonly Steerable[]>>,
    { isOn, desired }: { isOn: boolean; desired: Readonly<Record<string, number>> },
  ) {
    this.#jobs = new Map(Object.entries(jobs));
    this.#desired = new Map(Object.entries(desired));
    this.#isOn = isOn;
    this.#apply();
  }

  /** Names that nobody knows are ignored. */
  want(name: string, count: number): void {
    if (name === 'job_master') this.#isOn = count > 0;
    else if (this.#desired.has(name)) this.#desired.set(name, count);
    this.#apply();
  }

  counts(): JobCount[] {
    const master = this.#isOn ? 1 : 0;
    const jobs = [...this.#desired].map(([name, desired]) => {
      return { name, count: this.#allowed(name, desired), desired };
    });
    return [{ name: 'job_master', count: master, desired: master }, ...jobs];
  }

  #allowed(name: string, desired: number): number {
    return this.#isOn || !fed.has(name) ? desired : 0;
  }

  #apply(): void {
    for (const [name, jobs] of this.#jobs) {
      const count = this.#allowed(name, this.#desired.get(name) ?? 0);
      for (const job of jobs) job.setConcurrency(count);
    }
  }
}
