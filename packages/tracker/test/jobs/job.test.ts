/**
 * Goal: the loops under all jobs neither die, nor sleep on work, nor run over each other.
 * Method: real timers and promises; the test holds units back and lets them go.
 */
import { pino } from 'pino';
import { describe, expect, onTestFinished, test } from 'vitest';
import { until } from '../../../../test/helpers/wait.ts';
import { Job, type JobOptions } from '../../src/jobs/job.ts';
import { Repeater } from '../../src/jobs/repeater.ts';
import { Rounds } from '../../src/jobs/rounds.ts';

const log = pino({ level: 'silent' });
/** Longer than any test may take: only a wake-up ends such a wait. */
const neverMs = 600_000;

/** A job on a queue in memory whose units wait until the test lets them go. */
function heldJob(options: Partial<JobOptions<number>> = {}) {
  const queue: number[] = [];
  const inWork = new Map<number, () => void>();
  const putOff: number[] = [];
  const job = new Job<number>({
    name: 'test',
    log,
    concurrency: 2,
    idleMs: neverMs,
    claim: async (limit) => queue.splice(0, limit),
    work: (unit) =>
      new Promise((resolve) => {
        inWork.set(unit, () => {
          inWork.delete(unit);
          resolve(0);
        });
      }),
    putOff: async (unit) => {
      putOff.push(unit);
    },
    claimSeconds: neverMs,
    renew: async () => {},
    ...options,
  });
  job.start();
  onTestFinished(async () => {
    const stopped = job.stop();
    for (const letGo of inWork.values()) letGo();
    await stopped;
  });
  return { job, queue, inWork, putOff };
}

/** Lets everything happen that can happen without a timer. */
async function idle(): Promise<void> {
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

describe('Job', () => {
  test('begins waiting units when woken, no more at once than wanted, in order', async () => {
    const { job, queue, inWork } = heldJob();
    queue.push(1, 2, 3, 4);
    job.wake();
    await until('two units are in work', () => inWork.size === 2);
    expect([...inWork.keys()]).toEqual([1, 2]);
    // Nothing is claimed that cannot begin.
    expect(queue).toEqual([3, 4]);
    inWork.get(1)?.();
    await until('the third begins', () => inWork.has(3));
    expect([...inWork.keys()]).toEqual([2, 3]);
  });

  test('runs more at once as soon as more are wanted, and none at 0', async () => {
    const { job, queue, inWork } = heldJob();
    queue.push(1, 2, 3, 4, 5);
    job.wake();
    await until('two units are in work', () => inWork.size === 2);
    job.setConcurrency(4);
    await until('four units are in work', () => inWork.size === 4);
    job.setConcurrency(0);
    for (const letGo of inWork.values()) letGo();
    await until('they are done', () => job.status().processed === 4);
    expect(queue).toEqual([5]);
    job.setConcurrency(1);
    await until('the last begins', () => inWork.has(5));
  });

  test('rests while paused', async () => {
    const { job, queue, inWork } = heldJob();
    job.pause();
    queue.push(1);
    job.wake();
    await idle();
    expect(job.status()).toMatchObject({ state: 'paused', running: 0 });
    job.resume();
    await until('it goes on', () => inWork.has(1));
  });

  test('outlives units and claims that fail, and puts failed units off', async () => {
    let claims = 0;
    const { job, queue, putOff } = heldJob({
      claim: async (limit) => {
        claims += 1;
        if (claims % 2 === 0) throw new Error('no database');
        return queue.splice(0, limit);
      },
      work: async (unit) => {
        if (unit % 2 === 0) throw new Error(`unit ${unit}`);
        return unit === 5 ? 1 : 0;
      },
    });
    queue.push(1, 2, 3, 4, 5, 6);
    job.wake();
    await until('all are worked on', () => {
      job.wake();
      const { processed, failed } = job.status();
      return processed === 3 && failed === 3;
    });
    expect(putOff).toEqual([2, 4, 6]);
    // What waits for another try is no progress.
    expect(job.status().settled).toBe(2);
  });

  test('renews the claims of all units that last, together, and of none that ended', async () => {
    const renewed: number[][] = [];
    const { job, queue, inWork } = heldJob({
      claimSeconds: 0.1,
      renew: async (units) => {
        renewed.push(units.toSorted());
        if (renewed.length === 1) throw new Error('no database');
      },
    });
    queue.push(1, 2);
    job.wake();
    await until('both are renewed, again after a failure', () => renewed.length > 1);
    expect(renewed).toContainEqual([1, 2]);
    inWork.get(1)?.();
    await until('it is done', () => job.status().processed === 1);
    const before = renewed.length;
    await until('the other is renewed', () => renewed.length > before);
    expect(renewed.slice(before)).toContainEqual([2]);
    expect(renewed.slice(before)).not.toContainEqual([1, 2]);
  });

  test('stops after the units in work', async () => {
    const { job, queue, inWork } = heldJob();
    queue.push(1, 2, 3);
    job.wake();
    await until('two units are in work', () => inWork.size === 2);
    let stopped = false;
    const stopping = job.stop().then(() => {
      stopped = true;
    });
    inWork.get(1)?.();
    await idle();
    expect(stopped).toBe(false);
    inWork.get(2)?.();
    await stopping;
    expect(queue).toEqual([3]);
    expect(job.status()).toMatchObject({ state: 'stopped', running: 0, processed: 2 });
  });
});

describe('Repeater', () => {
  test('a wake-up during a run leads to another one', async () => {
    let runs = 0;
    let letGo = () => {};
    const repeater = new Repeater({
      everyMs: neverMs,
      onError: () => {},
      run: async () => {
        runs += 1;
        if (runs === 1) {
          await new Promise<void>((resolve) => {
            letGo = resolve;
          });
        }
      },
    });
    repeater.start();
    repeater.wake();
    letGo();
    await until('it ran again', () => runs === 2);
    await repeater.stop();
    expect(runs).toBe(2);
  });

  test('errors are reported and do not end it', async () => {
    const errors: unknown[] = [];
    let runs = 0;
    const repeater = new Repeater({
      everyMs: neverMs,
      onError: (error) => errors.push(error),
      run: async () => {
        runs += 1;
        if (runs < 3) throw new Error(`run ${runs}`);
      },
    });
    repeater.start();
    await until('it succeeded', () => runs === 3);
    await repeater.stop();
    expect(errors).toEqual([new Error('run 1'), new Error('run 2')]);
  });
});

describe('Rounds', () => {
  test('each caller gets a round that began after its call; one runs and one waits', async () => {
    const begun: (() => void)[] = [];
    const rounds = new Rounds(() => new Promise((resolve) => begun.push(resolve)));
    const done: string[] = [];
    const call = (name: string) => void rounds.run().then(() => done.push(name));
    call('first');
    call('second');
    call('third');
    expect(begun).toHaveLength(1);
    begun[0]?.();
    await until('the next round began', () => begun.length === 2);
    expect(done).toEqual(['first']);
    call('fourth');
    begun[1]?.();
    await until('the last round began', () => begun.length === 3);
    expect(done).toEqual(['first', 'second', 'third']);
    begun[2]?.();
    await until('all are answered', () => done.length === 4);
    expect(begun).toHaveLength(3);
  });

  test('a round that fails fails its callers only', async () => {
    let runs = 0;
    const rounds = new Rounds(async () => {
      runs += 1;
      if (runs === 1) throw new Error('first');
    });
    const outcomes = await Promise.allSettled([rounds.run(), rounds.run()]);
    expect(outcomes.map(({ status }) => status)).toEqual(['rejected', 'fulfilled']);
    await rounds.run();
    expect(runs).toBe(3);
  });
});
