/** The result of a run as one value: what the JSON file holds and the table shows. */
import type { Row } from '../load/rotation.ts';
import type { MachineFacts } from './machine.ts';
import type { Ratio } from './ratios.ts';

export interface Report {
  /** ISO 8601, UTC. */
  startedAt: string;
  machine: MachineFacts;
  parameters: {
    workloads: readonly string[];
    connections: readonly number[];
    sizes: readonly number[];
    rounds: number;
    seconds: number;
  };
  rows: Row[];
  ratios: Ratio[];
}
