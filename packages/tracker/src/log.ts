/**
 * Structured logs, one JSON event per line: `time`, `level`, `role`, `pid`, `event` and the ids
 * concerned.
 * Event names are stable nouns, for example `replica.written`.
 */
import { LogOutput } from '@omgfs/daemon';
import { type Logger, pino } from 'pino';

export type Log = Logger;

export interface LogOptions {
  role: string;
  level: string;
  /** Sees every line that is written (`!watch`). */
  onLine?: (line: string) => void;
}

/** Logs to standard output. @throws when the level is not one of pino's. */
export function createLog({ role, level, onLine }: LogOptions): Log {
  const output = new LogOutput();
  const destination =
    onLine === undefined
      ? output
      : {
          write: (line: string) => {
            output.write(line);
            onLine(line);
          },
        };
  return pino(
    {
      level,
      base: { role, pid: process.pid },
      messageKey: 'event',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (name) => ({ level: name }) },
    },
    destination,
  );
}
