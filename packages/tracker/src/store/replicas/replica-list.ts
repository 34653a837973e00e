/** Replica databases as the settings name them (spec §3.8). Pure. */
import { type Dsn, parseDsn } from '../dsn.ts';

export interface ReplicaPlace {
  name: string;
  /** As the setting has it; a change means another database. */
  text: string;
  dsn: Dsn;
  /** Share of the lookups, above 0. */
  weight: number;
}

export interface ReplicaList {
  places: ReplicaPlace[];
  /** Sentences about entries that cannot be used. */
  faults: string[];
  connectTimeoutMs: number;
  deadRetryMs: number;
  /** Keys that this tracker wrote are looked up in the master for so long. */
  lagMs: number;
}

/**
 * `slave_keys` is a list of names, each with an optional `=weight`; `slave_<name>` is
 * `dsn|user|password`. The original lets tools write weights and then does not find the database.
 */
export function replicaListOf(setting: (name: string) => string | undefined): ReplicaList {
  const places: ReplicaPlace[] = [];
  const faults: string[] = [];
  for (const entry of (setting('slave_keys') ?? '').split(',')) {
    const [name = '', weightText] = entry.trim().split('=');
    if (name === '') continue;
    const weight = weightText === undefined ? 1 : Number(weightText);
    const text = setting(`slave_${name}`) ?? '';
    try {
      if (text === '') throw new Error(`the setting slave_${name} is missing`);
      if (!(weight >= 0)) throw new Error(`the weight '${weightText}' is no number`);
      const [dsn = '', user = '', password = ''] = text.split('|');
      // A weight of 0 takes it out of use and keeps its address.
      if (weight > 0) places.push({ name, text, dsn: parseDsn(dsn, { user, password }), weight });
    } catch (error) {
      faults.push(`${name}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const seconds = (name: string, fallback: number) => {
    const text = setting(name) || fallback;
    if (Number(text) >= 0) return Number(text) * 1000;
    faults.push(`${name}: '${text}' is no number of seconds`);
    return fallback * 1000;
  };
  return {
    places,
    faults,
    connectTimeoutMs: seconds('slave_connect_timeout', 1),
    deadRetryMs: seconds('slave_dead_retry_timeout', 15),
    lagMs: seconds('slave_lag', 10),
  };
}
