/** A run of rebalance as it was read, and the one way to write its next step. */
import type { RunNotes } from '../../placement/rebalance/own.ts';
import type { RebalancePolicy } from '../../placement/rebalance/policy.ts';
import { formatRebalanceState, type RebalanceState } from '../../placement/rebalance/state.ts';
import {
  rebalanceField as field,
  type RebalanceChange,
  type RebalanceRecords,
} from '../../store/rebalance-store.ts';
import type { JobServices } from '../services.ts';

export interface RunSettings {
  /** Name of this tracker. */
  hostname: string;
  /** After the last move of a round, usage figures need so long to tell of it. */
  usageSettleSeconds: number;
}

export interface Run {
  records: RebalanceRecords;
  policy: RebalancePolicy;
  state: RebalanceState;
  notes: RunNotes;
}

/** Writes a step, if everything still is as it was read. */
export async function save(
  { store }: JobServices,
  run: Pick<Run, 'records' | 'state' | 'notes'>,
  more: Pick<RebalanceChange, 'settings' | 'statuses' | 'moves'> = {},
): Promise<boolean> {
  const names = [field.state, field.host, field.signal, field.policy, field.own] as const;
  const expect = Object.fromEntries(names.map((name) => [name, run.records.settings.get(name)]));
  const settings = {
    [field.state]: formatRebalanceState(run.state),
    [field.own]: JSON.stringify(run.notes),
    ...more.settings,
  };
  return store.rebalance.change({ ...more, expect, settings });
}
