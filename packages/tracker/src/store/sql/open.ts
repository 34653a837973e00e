/**
 * Opening uploads: fids are given out by the automatic id of `tempfile`, many in one INSERT. The
 * guard of spec §3.4 makes sure that no fid is given out that is, or was, somebody else's: the
 * counter may lag behind after a restart of the server, after an import, or when clients chose
 * fids.
 */
import { limits, OmgfsError } from '@omgfs/protocol';
import type { OpenRequest } from '../store.ts';
import type { Engine, Session } from './engine.ts';
import { int } from './row.ts';
import { bytes, integer, Raw, tuples } from './statements.ts';

/** Rounds of correcting the counter before giving up; one is enough unless others import files. */
const attemptsMax = 5;

export class FidSource {
  readonly #engine: Engine;
  /** Largest fid in use when it was last looked at, and at which generation of connections. */
  #highest = 0;
  #generation = -1;
  #highestAtStart: number | undefined;

  constructor(engine: Engine) {
    this.#engine = engine;
  }

  /** Opens one upload for each request that names no fid. @returns the fids, in their order. */
  async open(requests: readonly OpenRequest[]): Promise<number[]> {
    for (let attempt = 0; attempt < attemptsMax; attempt += 1) {
      const fids = await this.#insert(requests);
      const highest = await this.#highestInUse();
      if ((fids[0] as number) > highest && !(await anyInUse(this.#engine, fids))) return fids;
      await this.#correct(fids);
    }
    throw new OmgfsError('FAILURE', { message: 'No free fid was found; look at tempfile.fid.' });
  }

  /**
   * Opens an upload with the fid the client insists on.
   * @throws FID_IN_USE; nothing is left behind then (spec §11.1 no. 25).
   */
  async openAs(request: OpenRequest, fid: number): Promise<number> {
    if (!Number.isSafeInteger(fid) || fid < 1) {
      throw new OmgfsError('BAD_PARAMS', { message: `${fid} is no fid.` });
    }
    await this.#highestInUse();
    try {
      if (fid <= (this.#highestAtStart ?? 0)) throw new OmgfsError('DUPLICATE');
      await this.#engine.transaction(
        async (session) => {
          await session.runLiteral(this.#insertText([request], fid));
          if (await anyInUse(session, [fid])) throw new OmgfsError('DUPLICATE');
        },
        async (session) => (await session.rows(tempfileByFid, [fid])).length > 0,
      );
    } catch (error) {
      if (!(error instanceof OmgfsError) || error.code !== 'DUPLICATE') throw error;
      throw new OmgfsError('FID_IN_USE', { details: { fid }, cause: error });
    }
    return fid;
  }

  /**
   * The guard's threshold. Fids above it come from `tempfile`, whose counter only a restart of the
   * server can set back, and a restart shows as a new generation of connections.
   */
  async #highestInUse(): Promise<number> {
    const generation = this.#engine.generation();
    if (generation === this.#generation) return this.#highest;
    // Three reads of the end of a primary key.
    const rows = await this.#engine.rows(
      `SELECT COALESCE(MAX(fid), 0) AS fid FROM file
       UNION ALL SELECT COALESCE(MAX(fid), 0) FROM file_on
       UNION ALL SELECT COALESCE(MAX(fid), 0) FROM file_to_delete2`,
    );
    this.#highest = Math.max(...rows.map((row) => int(row, 'fid')));
    this.#highestAtStart ??= this.#highest;
    this.#generation = generation;
    return this.#highest;
  }

  /** A lost connection may leave rows nobody knows of: they are reaped like abandoned uploads. */
  async #insert(requests: readonly OpenRequest[]): Promise<number[]> {
    const { firstId, idStep } = await this.#engine.runLiteral(this.#insertText(requests));
    const fids = requests.map((_, index) => firstId + index * idStep);
    if ((fids.at(-1) as number) <= limits.fidMax) return fids;
    throw new OmgfsError('FAILURE', { message: 'The counter of tempfile.fid is out of range.' });
  }

  /** Rows with consecutive fids: the server reserves the ids of one INSERT together. */
  #insertText(requests: readonly OpenRequest[], fid?: number): string {
    const now = new Raw(this.#engine.dialect.now);
    const rows = requests.map(({ classid, dmid, dkey, devids }) => {
      const row = [now, classid, dmid, bytes(dkey), bytes(devids.join(','))];
      return fid === undefined ? row : [fid, ...row];
    });
    const columns = `${fid === undefined ? '' : 'fid, '}createtime, classid, dmid, dkey, devids`;
    return `INSERT INTO tempfile (${columns}) VALUES ${tuples(rows)}`;
  }

  /** Gives back fids that must not be used, and moves the counter past all fids in use. */
  async #correct(fids: readonly number[]): Promise<void> {
    this.#generation = -1;
    const highest = await this.#highestInUse();
    await this.#engine.runLiteral(`DELETE FROM tempfile WHERE fid IN (${fids.map(integer)})`);
    if (highest === 0) return;
    try {
      await this.#engine.transaction(async (session) => {
        // An explicit id moves the counter past it, and the counter stays when the row goes again.
        const dummy: OpenRequest = { dmid: 0, dkey: '', classid: 0, devids: [] };
        await session.runLiteral(this.#insertText([dummy], highest));
        await session.run('DELETE FROM tempfile WHERE fid = ?', [highest]);
      });
    } catch (error) {
      // A row with that fid has moved the counter already.
      if (!(error instanceof OmgfsError) || error.code !== 'DUPLICATE') throw error;
    }
  }
}

/** Primary key. */
const tempfileByFid = 'SELECT fid FROM tempfile WHERE fid = ?';

/** Ranges of three primary keys. */
const fidsInUse = `SELECT fid FROM file WHERE fid BETWEEN ? AND ?
  UNION ALL SELECT fid FROM file_on WHERE fid BETWEEN ? AND ?
  UNION ALL SELECT fid FROM file_to_delete2 WHERE fid BETWEEN ? AND ?`;

/** Where ids step by more than one, fids of other servers lie between these: they are not meant. */
async function anyInUse(session: Session, fids: readonly number[]): Promise<boolean> {
  const first = fids[0] as number;
  const last = fids.at(-1) as number;
  const rows = await session.rows(fidsInUse, [first, last, first, last, first, last]);
  return rows.length > 0 && rows.some((row) => fids.includes(int(row, 'fid')));
}
