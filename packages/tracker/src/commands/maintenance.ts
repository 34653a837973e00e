/** Commands for operators and tests that touch no file (spec §2.3). */
import { setTimeout as delay } from 'node:timers/promises';
import { isTrue, OmgfsError } from '@omgfs/protocol';
import { integerOf } from './arguments.ts';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';

export function maintenanceCommands(services: CommandServices): Record<string, Command> {
  const { store, refresh, nextSweep, wakeReplicate } = services;
  return {
    noop: () => ({}),
    test: ({ args }) => {
      if (isTrue(args.crash)) throw new OmgfsError('FAILURE', { message: 'test crash=1' });
      return {};
    },
    sleep: async ({ args }) => {
      await delay(Math.max(0, integerOf(args.duration) || 10) * 1000);
      return {};
    },
    clear_cache: async ({ args }) => {
      await refresh();
      const { callid: _, ...echoed } = args;
      return echoed;
    },
    do_monitor_round: async () => {
      await nextSweep();
      return {};
    },
    replicate_now: async () => {
      const count = await store.hastenReplications();
      wakeReplicate();
      return { count };
    },
  };
}
