/** Steering rebalance and drains in a test cluster by the commands of operators. */
import type { Fields } from '@omgfs/protocol';
import { pino } from 'pino';
import { until } from '../../../../test/helpers/wait.ts';
import { createCommands } from '../../src/commands/registry.ts';
import type { CommandServices } from '../../src/commands/services.ts';
import { askAbout } from '../../src/jobs/replication/question.ts';
import { parseRebalanceState, type RebalanceState } from '../../src/placement/rebalance/state.ts';
import { rebalanceField as field } from '../../src/store/rebalance-store.ts';
import { Lookups } from '../../src/store/replicas/lookups.ts';
import type { TestTracker } from './cluster.ts';

export type Call = (name: string, args?: Fields) => Promise<Record<string, unknown>>;

/** The commands of a tracker, as functions; a refusal is an OmgfsError. */
export function commandsOf(
  { store, topology, devices, jobs }: TestTracker,
  services: Partial<CommandServices> = {},
): Call {
  const commands = createCommands({
    store,
    lookups: new Lookups({ master: store, log: pino({ level: 'silent' }) }),
    topology,
    devices,
    reload: () => jobs.monitor.reload(),
    refresh: () => jobs.monitor.refresh(),
    nextSweep: () => jobs.monitor.nextSweep(),
    wakeReplicate: () => jobs.wakeReplicate(),
    wakeDelete: () => jobs.wakeDelete(),
    wakeFsck: () => jobs.wakeFsck(),
    wakeRebalance: () => jobs.wakeRebalance(),
    hostname: 'tracker',
    copyReplica: () => Promise.resolve({ state: 'source_failed', reason: 'not in this test' }),
    verdictOn: (file) => askAbout({ topology, random: Math.random }, file),
    signUrl: (_, url) => url,
    resumeSeconds: 3600,
    tempfileAgeSeconds: 3600,
    settleSeconds: 0,
    ...services,
    random: Math.random,
  });
  return async (name, args = {}) => {
    const command = commands.get(name);
    if (command === undefined) throw new Error(`no command ${name}`);
    return { ...(await command({ args, address: '127.0.0.1' })) };
  };
}

export async function stateOf({ store }: TestTracker): Promise<RebalanceState> {
  return parseRebalanceState((await store.findSetting(field.state)) ?? '');
}

/** Waits until no run goes on and every move is done or waits for another time. */
export async function rebalanced(tracker: TestTracker): Promise<RebalanceState> {
  const { store } = tracker;
  await until('the rebalance is over', async () => {
    const running = await store.findSetting(field.host);
    const { queued, waiting } = await store.rebalance.counts();
    return running === undefined && queued === waiting.reduce((sum, one) => sum + one.count, 0);
  });
  return stateOf(tracker);
}

export async function statusOf({ store }: TestTracker, devid: number): Promise<string> {
  return (await store.rebalance.records()).statuses.get(devid) ?? 'none';
}
