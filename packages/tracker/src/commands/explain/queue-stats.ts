/** `queue_stats`: what waits, what has failed, how fast it goes and how long it will take. */
import { isTrue, type ReplyFields } from '@omgfs/protocol';
import type { Command } from '../command.ts';
import type { CommandServices } from '../services.ts';
import { topWaitReasons } from './wait-reasons.ts';

/** Reasons for waiting that are told, the most frequent. */
const topReasons = 10;
/** Each stops while the setting `omg_pause_<job>` is on. */
const jobs = ['replicate', 'delete', 'fsck', 'rebalance', 'reaper', 'heal', 'scrub'] as const;

/**
 * Reply: `reasons`, and for each `reasonN_` and job, code, text, count;
 * `queues`, and for each `queueN_` and name, total, due, working, parked, failed, per_second …;
 * `jobs`, and for each `jobN_` and name, paused, per_second.
 */
export function queueStats({ store }: Pick<CommandServices, 'store'>): Command {
  return async () => {
    const [stats, reasons, rates, settings] = await Promise.all([
      store.queueStats(),
      topWaitReasons({ store }, topReasons),
      store.rates.total(),
      store.listSettings(),
    ]);
    const paused = new Set(settings.flatMap(({ field, value }) => (isTrue(value) ? [field] : [])));
    const isPaused = (job: string) => paused.has(`omg_pause_${job}`);
    const rateOf = (job: string) => (isPaused(job) ? 0 : (rates.get(job) ?? 0));
    const queues = stats.map((queue) => {
      const { name, total, due, working, parked, failed } = queue;
      const perSecond = rateOf(name);
      return {
        ...{ name, total, due, working, parked, failed },
        oldest_due: queue.oldestDueSeconds,
        next_in: queue.nextInSeconds,
        paused: isPaused(name) ? 1 : 0,
        per_second: shown(perSecond),
        // What waits for another time does not go at the rate of what went before.
        eta_seconds:
          perSecond === 0 || due + working === 0
            ? undefined
            : Math.ceil((total - parked) / perSecond),
      };
    });
    return {
      ...rowsOf('queue', queues),
      queues: queues.length,
      ...rowsOf(
        'reason',
        reasons.map(({ job, code, reason: text, count }) => ({ job, code, text, count })),
      ),
      reasons: reasons.length,
      ...rowsOf(
        'job',
        jobs.map((name) => {
          return { name, paused: isPaused(name) ? 1 : 0, per_second: shown(rateOf(name)) };
        }),
      ),
      jobs: jobs.length,
    };
  };
}

function shown(perSecond: number): string {
  return perSecond.toFixed(2);
}

/** `<prefix>1_<field>`, `<prefix>2_<field>` … */
function rowsOf(prefix: string, rows: readonly ReplyFields[]): ReplyFields {
  return Object.fromEntries(
    rows.flatMap((row, index) => {
      return Object.entries(row).map(([field, value]) => [`${prefix}${index + 1}_${field}`, value]);
    }),
  );
}
