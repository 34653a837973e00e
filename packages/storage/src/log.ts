/**
 * Structured logs, one JSON event per line on standard output: `time`, `level`, `role`, `event`
 * and the ids concerned. Event names are stable nouns, for example `device.refused`.
 */
import { LogOutput } from '@omgfs/daemon';
import { type Logger, pino } from 'pino';

export type Log = Logger;

/** Logs to standard output. @throws Error when the level is not one of pino's. */
export function createLog(level: string): Log {
  return pino(
    {
      level,
      base: { role: 'storage' },
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (name) => ({ level: name }) },
    },
    new LogOutput(),
  );
}
