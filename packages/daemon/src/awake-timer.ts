/**
 * Timers for what others may take: time in which this process did not run does not count. Where a
 * machine was suspended, or too busy to run us, the answer has been there for long, but timers are
 * looked at before what came meanwhile.
 */

const slices = 10;

/** Calls back once, after so long; `clearTimeout` ends it. */
export function startAwakeTimer(ms: number, done: () => void): NodeJS.Timeout {
  let left = slices;
  // Of what it slept through an interval makes one call.
  const timer = setInterval(() => {
    left -= 1;
    if (left > 0) return;
    clearInterval(timer);
    done();
  }, ms / slices);
  return timer;
}
