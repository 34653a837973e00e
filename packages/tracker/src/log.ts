/**
 * Structured logs, one JSON event per line: `time`, `level`, `role`, `event` and the ids concerned.
 * Event names are stable nouns, for example `replica.written`.
 */
import { type Logger, pino } from 'pino';

export type Log = Logger;

export function createLog(options: { role: string; level: string }): Log {
  return pino({
    level: options.level,
    base: { role: options.role },
    messageKey: 'event',
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (level) => ({ level }) },
  });
}
