/**
 * One turn of one workload: a number of callers, each with one operation in flight, for a fixed
 * time after a short warm-up. Closed loop: a slow server is asked less often, never queued up.
 */
import { Histogram } from './histogram.ts';

/** What a workload looks like while a turn lasts; connections are opened before and kept. */
export interface Session {
  /** One operation of one caller. @throws Error when the answer is not the expected one. */
  run(caller: number): Promise<void>;
  close(): Promise<void>;
}

export interface TurnOptions {
  callers: number;
  measureMs: number;
  warmUpMs: number;
  /** Ends the turn early, so that big files do not fill the disk; warm-up included. */
  operationsMax: number;
  signal: AbortSignal;
}

export interface Turn {
  operations: number;
  errors: number;
  firstError: string | undefined;
  elapsedMs: number;
  latency: Histogram;
}

/** More failures than this in one turn mean that nothing useful is being measured. */
const errorsMax = 200;

/**
 * Warms up, then measures; `onStart` runs between the two.
 * @throws Error of the workload when nearly everything fails.
 */
export async function takeTurn(
  session: Session,
  options: TurnOptions,
  onStart: () => void,
): Promise<Turn> {
  const { warmUpMs, operationsMax, measureMs } = options;
  const share = warmUpMs / (warmUpMs + measureMs);
  const warm = Math.floor(operationsMax * share);
  if (warm > 0) await drive(session, { ...options, measureMs: warmUpMs, operationsMax: warm });
  onStart();
  return drive(session, { ...options, operationsMax: operationsMax - warm });
}

async function drive(session: Session, options: TurnOptions): Promise<Turn> {
  const { callers, operationsMax, signal } = options;
  const latency = new Histogram();
  const start = performance.now();
  const deadline = start + options.measureMs;
  let started = 0;
  let errors = 0;
  let firstError: string | undefined;

  const call = async (caller: number): Promise<void> => {
    let before = performance.now();
    while (before < deadline && started < operationsMax && !signal.aborted) {
      started += 1;
      try {
        await session.run(caller);
        const after = performance.now();
        latency.record((after - before) * 1000);
        before = after;
      } catch (error) {
        errors += 1;
        firstError ??= error instanceof Error ? error.message : String(error);
        if (errors > errorsMax) throw error;
        before = performance.now();
      }
    }
  };
  await Promise.all(Array.from({ length: callers }, (_, caller) => call(caller)));
  signal.throwIfAborted();
  const elapsedMs = performance.now() - start;
  return { operations: latency.count, errors, firstError, elapsedMs, latency };
}
