/**
 * Pauses jobs while the setting `omg_pause_<job>` is on, in every tracker of the cluster and within
 * one reading of the database.
 */
import { isTrue } from '@omgfs/protocol';
import type { Topology } from '../topology/topology.ts';

export interface Pausable {
  pause(): void;
  resume(): void;
}

export class PauseSwitch {
  readonly #topology: Topology;
  readonly #jobs: Readonly<Record<string, Pausable>>;
  readonly #paused = new Set<string>();
  #unsubscribe: () => void = () => {};

  constructor(topology: Topology, jobs: Readonly<Record<string, Pausable>>) {
    this.#topology = topology;
    this.#jobs = jobs;
  }

  start(): void {
    this.#unsubscribe = this.#topology.onChange(() => this.#apply());
    this.#apply();
  }

  stop(): void {
    this.#unsubscribe();
  }

  #apply(): void {
    for (const [name, job] of Object.entries(this.#jobs)) {
      const isWanted = isTrue(this.#topology.setting(`omg_pause_${name}`));
      if (isWanted === this.#paused.has(name)) continue;
      if (isWanted) {
        this.#paused.add(name);
        job.pause();
      } else {
        this.#paused.delete(name);
        job.resume();
      }
    }
  }
}
