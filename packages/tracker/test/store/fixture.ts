/**
 * What the store suite needs of an engine: fresh databases, several stores on one, and a back door.
 */

import type { OmgfsError } from '@omgfs/protocol';
import { pino } from 'pino';
import type { CloseRequest, Store } from '../../src/store/store.ts';

export interface FreshDatabase {
  /** Opens one more store on the database, as another tracker would. */
  open(options?: { createSchema?: boolean }): Promise<Store>;
  /** Runs SQL behind the back of the stores. */
  sql(text: string): Promise<Record<string, unknown>[]>;
  /** Closes the stores that were opened and drops the database. */
  drop(): Promise<void>;
}

export type OpenFresh = () => Promise<FreshDatabase>;

export const quietLog = pino({ level: 'silent' });
export const storeOptions = { mindevcountDefault: 2, log: quietLog };

/** All byte values, in pieces that fit a key. */
export const allBytes: readonly string[] = [
  String.fromCharCode(...Array.from({ length: 128 }, (_, code) => code)),
  String.fromCharCode(...Array.from({ length: 128 }, (_, code) => 128 + code)),
];

/** Opens and closes an upload. @returns the fid. */
export async function put(
  store: Store,
  file: { dmid: number; dkey: string } & Partial<CloseRequest>,
): Promise<number> {
  const { dmid, dkey, classid = 0, devids = [1, 2] } = file;
  const fid = await store.openTempfile({ dmid, dkey, classid, devids });
  const request = { length: 10, replicate: false, classid, devids, ...file, fid };
  const outcome = await store.closeTempfile(request);
  if (outcome !== 'stored') throw new Error(`put ${dkey}: ${outcome}`);
  return fid;
}

/** The code a call is refused with; `none` when it is not. */
export function codeOf(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'none',
    (error: OmgfsError) => error.code ?? String(error),
  );
}

/** Calls all at once, in one turn of the event loop. */
export function atOnce<T>(count: number, call: (index: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, index) => call(index)));
}
