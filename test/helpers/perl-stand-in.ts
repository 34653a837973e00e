/**
 * Plays a tracker of MogileFS on the database: the statements, their order, the locks and the claim
 * rule of spec §2.6, §3.4, §3.6 and §3.7, without transactions where the original has none.
 */
import { fidPath } from '@omgfs/protocol';
import type { Connection, ResultSetHeader, RowDataPacket } from 'mysql2/promise';
import { connectTo, type MySqlAddress } from './mariadb.ts';
import { putBody } from './raw-client.ts';

const deadlock = 1213;

export type QueueTable = 'file_to_replicate' | 'file_to_delete2' | 'file_to_queue';

export class PerlStandIn {
  /** One connection, as a worker of the original has: it holds one lock at a time. */
  readonly connection: Connection;

  private constructor(connection: Connection) {
    this.connection = connection;
  }

  static async connect(address: MySqlAddress, database: string): Promise<PerlStandIn> {
    return new PerlStandIn(await connectTo(address, database));
  }

  async rows(sql: string, values: unknown[] = []): Promise<RowDataPacket[]> {
    return (await this.connection.query<RowDataPacket[]>(sql, values))[0];
  }

  /** A deadlock is tried again as the original does it, three times for a single statement. */
  async run(sql: string, values: unknown[] = [], tries = 3): Promise<ResultSetHeader> {
    try {
      return (await this.connection.query<ResultSetHeader>(sql, values))[0];
    } catch (error) {
      if (tries === 1 || (error as { errno?: number }).errno !== deadlock) throw error;
      return this.run(sql, values, tries - 1);
    }
  }

  /** @returns whether the lock was obtained. */
  async lock(name: string, seconds: number): Promise<boolean> {
    const [row] = await this.rows('SELECT GET_LOCK(?, ?) AS taken', [name, seconds]);
    return row?.taken === 1;
  }

  async unlock(name: string): Promise<void> {
    await this.rows('SELECT RELEASE_LOCK(?) AS released', [name]);
  }

  /** A fid by the automatic number of `tempfile` (§3.4). */
  async openTempfile(file: { dmid: number; key: string; devid: number }): Promise<number> {
    const { insertId } = await this.run(
      `INSERT INTO tempfile SET createtime = UNIX_TIMESTAMP(), dmid = ?, classid = 0, dkey = ?,
       devids = ?`,
      [file.dmid, file.key, String(file.devid)],
    );
    const [taken] = await this.rows('SELECT 1 AS one FROM file WHERE fid = ?', [insertId]);
    if (taken !== undefined) throw new Error(`fid ${insertId} is in use`);
    return insertId;
  }

  /** An upload from open to close. @returns the fid. */
  async store(file: { dmid: number; key: string; devid: number; body: string }): Promise<number> {
    const fid = await this.openTempfile(file);
    await putBody(await this.urlOf(file.devid, fid), file.body);
    await this.close({ ...file, fid });
    return fid;
  }

  /** `create_close` as §2.6 tells it: several statements, each by itself. */
  async close(file: {
    dmid: number;
    key: string;
    devid: number;
    body: string;
    fid: number;
  }): Promise<void> {
    const { dmid, key, devid, body, fid } = file;
    const { affectedRows } = await this.run('DELETE FROM tempfile WHERE fid = ?', [fid]);
    if (affectedRows === 0) throw new Error('no_temp_file');
    const where = 'WHERE dmid = ? AND dkey = ?';
    const [old] = await this.rows(`SELECT fid FROM file ${where}`, [dmid, key]);
    if (old !== undefined) {
      await this.run('DELETE FROM file WHERE fid = ?', [old.fid]);
      await this.run('INSERT IGNORE INTO file_to_delete2 SET fid = ?, nexttry = UNIX_TIMESTAMP()', [
        old.fid,
      ]);
    }
    await this.run('INSERT IGNORE INTO file_on SET fid = ?, devid = ?', [fid, devid]);
    await this.run(
      'REPLACE INTO file SET fid = ?, dmid = ?, dkey = ?, length = ?, classid = 0, devcount = 1',
      [fid, dmid, key, Buffer.byteLength(body)],
    );
    await this.run('INSERT IGNORE INTO file_to_replicate SET fid = ?, nexttry = 0', [fid]);
  }

  async delete(file: { dmid: number; key: string }): Promise<void> {
    const [row] = await this.rows('SELECT fid FROM file WHERE dmid = ? AND dkey = ?', [
      file.dmid,
      file.key,
    ]);
    if (row === undefined) throw new Error('unknown_key');
    await this.run('DELETE FROM file WHERE fid = ?', [row.fid]);
    await this.run('INSERT IGNORE INTO file_to_delete2 SET fid = ?, nexttry = UNIX_TIMESTAMP()', [
      row.fid,
    ]);
  }

  /** What the job master does (§3.6). @returns the fids it has claimed. */
  async grab(table: QueueTable, limit: number): Promise<number[]> {
    const name = `mfsd:${table}`;
    if (!(await this.lock(name, 30))) throw new Error(`no lock ${name}`);
    await this.connection.beginTransaction();
    const rows = await this.rows(
      `SELECT fid FROM ${table} WHERE nexttry <= UNIX_TIMESTAMP() ORDER BY nexttry LIMIT ?
       FOR UPDATE`,
      [limit],
    );
    const fids = rows.map((row) => Number(row.fid));
    if (fids.length > 0) {
      const claim = `UPDATE ${table} SET nexttry = UNIX_TIMESTAMP() + 1000 WHERE fid IN (?)`;
      // In a transaction, which a deadlock has rolled back.
      await this.run(claim, [fids], 1);
    }
    await this.connection.commit();
    await this.unlock(name);
    return fids;
  }

  async urlOf(devid: number, fid: number): Promise<string> {
    const [host] = await this.rows(
      'SELECT hostip, http_port FROM host JOIN device USING (hostid) WHERE devid = ?',
      [devid],
    );
    return `http://${host?.hostip}:${host?.http_port}${fidPath(devid, fid)}`;
  }

  async end(): Promise<void> {
    await this.connection.end();
  }
}
