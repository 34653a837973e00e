/** The result of a run as one value: what the JSON file holds and the table shows. */
import type { Row } from '../load/rotation.ts';
import type { MachineFacts } from './machine.ts';
import type { Ratio } from './ratios.ts';

/** Fact of a round: milliseconds from its end until every file had its copies. */
export const settleFact = 'settleMs';
/** Fact of a round: files it stored, warm-up included. */
export const storedFact = 'stored';

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
