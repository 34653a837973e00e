/**
 * The store over either engine: every method of the contract in one place, and the batchers of the
 * hot ones. The SQL is in the modules beside this one.
 */
import type { Checksum } from '@omgfs/protocol';
import { type Batcher, batched } from '../../batcher.ts';
import { claimSeconds, type Wait } from '../claim.ts';
import type * as contract from '../store.ts';
import { BoundedEngine } from './bounded-engine.ts';
import { closeTempfiles } from './close.ts';
import type { Engine } from './engine.ts';
import * as files from './files.ts';
import { createFsckStore } from './fsck/store.ts';
import { createJobBatches, type JobBatches } from './jobs/batches.ts';
import { ended } from './jobs/claims.ts';
import { moveLegacyDeletions } from './jobs/legacy-deletions.ts';
import { Queues } from './jobs/queues.ts';
import * as keys from './keys.ts';
import * as machines from './machines.ts';
import * as namespace from './namespace.ts';
import { FidSource } from './open.ts';
import { createDescriptionStore } from './own/descriptions.ts';
import { createNoteStore } from './own/notes.ts';
import { createRateStore } from './own/rates.ts';
import { createStrayStore } from './own/strays.ts';
import { createUploadStore } from './own/uploads.ts';
import { createRebalanceStore } from './rebalance/store.ts';
import { renameKey } from './rename/key.ts';
import { renamePrefix } from './rename/prefix.ts';
import { fidRecords } from './reports/fid-records.ts';
import { countReplicas, queueStats } from './reports/queue-stats.ts';
import { createUpkeepStore } from './upkeep/store.ts';

/**
 * Batches of one kind at the same time: more make smaller batches. One batch of writes stores half
 * as many files again as two, with a quarter less work for the database (bench, 2026-11).
 */
const readsInFlight = 2;
const writesInFlight = 1;
/** Of the connections that the batches leave; see `connectionsMax` of the MySQL engine. */
const unbatchedAtOnce = 9;

export function createSqlStore(engine: Engine, options: contract.StoreOptions): contract.Store {
  return new SqlStore(engine, options);
}

function keyConflict({ dmid, dkey }: files.Key): string {
  return `key ${dmid}:${dkey}`;
}

class SqlStore implements contract.Store {
  readonly engine: 'mysql' | 'sqlite';
  readonly exactKeys: boolean;
  readonly fsck: contract.Store['fsck'];
  readonly rebalance: contract.Store['rebalance'];
  readonly notes: contract.Store['notes'];
  readonly rates: contract.Store['rates'];
  readonly descriptions: contract.Store['descriptions'];
  readonly uploads: contract.Store['uploads'];
  readonly strays: contract.Store['strays'];
  readonly upkeep: contract.Store['upkeep'];
  readonly #db: Engine;
  readonly #options: contract.StoreOptions;
  readonly #fids: FidSource;
  readonly #queues: Queues;
  readonly #opens: Batcher<contract.OpenRequest, number>;
  readonly #closes: Batcher<contract.CloseRequest, contract.CloseOutcome>;
  readonly #finds: Batcher<files.Key, contract.FileWithReplicas | undefined>;
  readonly #tempfiles: Batcher<number, contract.TempfileRow | undefined>;
  readonly #deletes: Batcher<files.Key, boolean>;
  readonly #jobs: JobBatches;

  constructor(engine: Engine, options: contract.StoreOptions) {
    const db = new BoundedEngine(engine, unbatchedAtOnce);
    this.engine = engine.name;
    this.exactKeys = engine.dialect.exactKeys;
    const forget = (fids: readonly number[]) => this.#forgotten(Promise.resolve(), { fids });
    this.fsck = createFsckStore(db, forget);
    this.rebalance = createRebalanceStore(db);
    this.notes = createNoteStore(db);
    this.rates = createRateStore(db);
    this.descriptions = createDescriptionStore(db);
    this.uploads = createUploadStore(db);
    this.strays = createStrayStore(db);
    this.upkeep = createUpkeepStore(db, forget);
    this.#db = db;
    this.#options = options;
    this.#fids = new FidSource(engine);
    this.#queues = new Queues(db);
    const reads = { inFlightMax: readsInFlight };
    const writes = { inFlightMax: writesInFlight };
    this.#opens = batched({ ...writes, send: (requests) => this.#fids.open(requests) });
    this.#closes = batched({
      ...writes,
      conflictKeys: (request) => [`fid ${request.fid}`, keyConflict(request)],
      send: (requests) => closeTempfiles(engine, requests),
    });
    this.#finds = batched({ ...reads, send: (requests) => files.findFiles(engine, requests) });
    this.#tempfiles = batched({ ...reads, send: (fids) => files.findTempfiles(engine, fids) });
    this.#deletes = batched({
      ...writes,
      conflictKeys: (request) => [keyConflict(request)],
      send: (requests) => keys.deleteKeys(engine, requests),
    });
    this.#jobs = createJobBatches(db, this.#queues);
  }

  openTempfile(request: contract.OpenRequest): Promise<number> {
    if (request.fid === undefined) return this.#opens.run(request);
    return this.#fids.openAs(request, request.fid);
  }

  findTempfile(fid: number): Promise<contract.TempfileRow | undefined> {
    return this.#tempfiles.run(fid);
  }

  closeTempfile(request: contract.CloseRequest): Promise<contract.CloseOutcome> {
    return this.#forgotten(this.#closes.run(request), { keys: [request] });
  }

  abandonTempfile(request: { fid: number; devids: readonly number[] }): Promise<boolean> {
    return keys.abandonTempfile(this.#db, request);
  }

  staleTempfiles(request: { ageSeconds: number; limit: number }): Promise<contract.TempfileRow[]> {
    return files.staleTempfiles(this.#db, request);
  }

  dropClosedTempfile(fid: number): Promise<boolean> {
    return keys.dropClosedTempfile(this.#db, fid);
  }

  findFile(request: files.Key): Promise<contract.FileWithReplicas | undefined> {
    return this.#finds.run(request);
  }

  filesByFid(fids: readonly number[]): Promise<contract.FileWithReplicas[]> {
    const [fid] = fids;
    if (fid === undefined || fids.length > 1) return files.filesByFid(this.#db, fids);
    return this.#jobs.files.run(fid).then((file) => (file === undefined ? [] : [file]));
  }

  replicasOf(fids: readonly number[]): Promise<Map<number, number[]>> {
    return files.replicasOf(this.#db, fids);
  }

  findChecksum(fid: number): ReturnType<contract.FilesStore['findChecksum']> {
    return this.#jobs.checksums.run(fid);
  }

  fidRecords(fid: number): Promise<contract.FidRecords> {
    return fidRecords(this.#db, fid);
  }

  saveChecksum(request: { fid: number; checksum: Checksum }): Promise<boolean> {
    return keys.saveChecksum(this.#db, request);
  }

  filesAfter(request: { after: number; limit: number }): Promise<contract.FileRow[]> {
    return files.filesAfter(this.#db, request);
  }

  listKeys(request: Parameters<contract.FilesStore['listKeys']>[0]): Promise<string[]> {
    return keys.listKeys(this.#db, request);
  }

  deleteKey(request: files.Key): Promise<boolean> {
    return this.#forgotten(this.#deletes.run(request), { keys: [request] });
  }

  renameKey(
    request: Parameters<contract.FilesStore['renameKey']>[0],
  ): ReturnType<contract.FilesStore['renameKey']> {
    const { dmid, from, to } = request;
    const keys = [from, to].map((dkey) => ({ dmid, dkey }));
    return this.#forgotten(renameKey(this.#db, request), { keys });
  }

  async renamePrefix(request: Parameters<contract.FilesStore['renamePrefix']>[0]): Promise<number> {
    // Only where a cache wants to know: they may be many.
    const keys = this.#options.pathCache?.active ? [] : undefined;
    const renamed = renamePrefix(this.#db, request, keys);
    return keys === undefined ? renamed : this.#forgotten(renamed, { keys });
  }

  changeClass(request: { fid: number; classid: number }): Promise<void> {
    return keys.changeClass(this.#db, request);
  }

  addReplica(request: { fid: number; devid: number }): Promise<boolean> {
    return this.#forgotten(this.#jobs.replicas.run(request), { fids: [request.fid] });
  }

  removeReplica(request: { fid: number; devid: number }): Promise<void> {
    return this.#forgotten(keys.removeReplica(this.#db, request), { fids: [request.fid] });
  }

  claimReplications(limit: number, seconds = claimSeconds): Promise<contract.ClaimedReplication[]> {
    return this.#queues.claimReplications(limit, seconds);
  }

  renewReplications(
    rows: readonly contract.ClaimedReplication[],
    seconds = claimSeconds,
  ): Promise<void> {
    return this.#queues.renewReplications(rows, seconds);
  }

  enqueueReplication(
    request: Parameters<contract.QueueStore['enqueueReplication']>[0],
  ): Promise<void> {
    return this.#queues.enqueueReplication(request);
  }

  finishReplication(row: contract.ClaimedReplication): Promise<void> {
    return this.#jobs.finished.run(ended(row));
  }

  postponeReplication(row: contract.ClaimedReplication, wait: Wait): Promise<void> {
    return this.#queues.postponeReplication(row, wait);
  }

  hastenReplications(): Promise<number> {
    return this.#queues.hastenReplications();
  }

  claimDeletions(limit: number, seconds = claimSeconds): Promise<contract.ClaimedDeletion[]> {
    return this.#queues.claimDeletions(limit, seconds);
  }

  renewDeletions(rows: readonly contract.ClaimedDeletion[], seconds = claimSeconds): Promise<void> {
    return this.#queues.renewDeletions(rows, seconds);
  }

  postponeDeletion(row: contract.ClaimedDeletion, wait: Wait): Promise<void> {
    return this.#queues.postponeDeletion(row, wait);
  }

  finishDeletions(fids: readonly number[]): Promise<void> {
    return this.#queues.finishDeletions(fids);
  }

  moveLegacyDeletions(limit: number): Promise<number> {
    return moveLegacyDeletions(this.#db, limit);
  }

  queueStats(): Promise<contract.QueueStats[]> {
    return queueStats(this.#db);
  }

  countReplicas(devid: number): Promise<number> {
    return countReplicas(this.#db, devid);
  }

  queueDepths(): ReturnType<contract.QueueStore['queueDepths']> {
    return this.#queues.queueDepths();
  }

  async loadTopology(): Promise<contract.TopologyRows> {
    const [domains, classes, hosts, devices, settings] = await Promise.all([
      namespace.loadDomains(this.#db),
      namespace.loadClasses(this.#db),
      machines.loadHosts(this.#db),
      machines.loadDevices(this.#db),
      namespace.listSettings(this.#db),
    ]);
    return { domains, classes, hosts, devices, settings };
  }

  createDomain(name: string): Promise<number> {
    return namespace.createDomain(this.#db, name);
  }

  deleteDomain(dmid: number): Promise<void> {
    return namespace.deleteDomain(this.#db, dmid);
  }

  createClass(request: { dmid: number; name: string } & contract.ClassFields): Promise<number> {
    const mindevcount = request.mindevcount ?? this.#options.mindevcountDefault;
    return namespace.createClass(this.#db, { ...request, mindevcount });
  }

  updateClass(request: { dmid: number; classid: number } & contract.ClassFields): Promise<void> {
    const { mindevcountDefault } = this.#options;
    return namespace.updateClass(this.#db, { ...request, mindevcountDefault });
  }

  deleteClass(request: { dmid: number; classid: number }): Promise<void> {
    return namespace.deleteClass(this.#db, request);
  }

  createHost(request: Parameters<contract.TopologyStore['createHost']>[0]): Promise<number> {
    return machines.createHost(this.#db, request);
  }

  updateHost(request: { hostid: number } & contract.HostFields): Promise<void> {
    return machines.updateHost(this.#db, request);
  }

  deleteHost(hostid: number): Promise<void> {
    return machines.deleteHost(this.#db, hostid);
  }

  createDevice(request: Parameters<contract.TopologyStore['createDevice']>[0]): Promise<void> {
    return machines.createDevice(this.#db, request);
  }

  setDeviceStatus(
    request: Parameters<contract.TopologyStore['setDeviceStatus']>[0],
  ): Promise<void> {
    return machines.setDevice(this.#db, request);
  }

  setDeviceWeight(request: { devid: number; weight: number }): Promise<void> {
    return machines.setDevice(this.#db, request);
  }

  setDeviceUsage(usage: readonly contract.DeviceUsage[]): Promise<void> {
    return machines.setDeviceUsage(this.#db, usage);
  }

  findSetting(field: string): Promise<string | undefined> {
    return namespace.findSetting(this.#db, field);
  }

  listSettings(): Promise<{ field: string; value: string }[]> {
    return namespace.listSettings(this.#db);
  }

  setSetting(request: { field: string; value: string | undefined }): Promise<void> {
    return namespace.setSetting(this.#db, request);
  }

  withLock<T>(
    request: { name: string; waitMs: number },
    work: (lost: AbortSignal) => Promise<T>,
  ): Promise<T | undefined> {
    return this.#db.withLock(request, work);
  }

  ping(): Promise<void> {
    return this.#db.ping();
  }

  /** What was committed is told to the cache beside the database before anybody else. */
  #forgotten<T>(work: Promise<T>, changed: contract.ChangedPaths): Promise<T> {
    const { pathCache } = this.#options;
    if (pathCache === undefined || !pathCache.active) return work;
    return work.finally(() => pathCache.forget(changed));
  }

  close(): Promise<void> {
    return this.#db.close();
  }
}
