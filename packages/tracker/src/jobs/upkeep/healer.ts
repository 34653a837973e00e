/**
 * Looks at files again whose situation changed without anybody queueing them (design section 6):
 * those on a device that is lost or came back, and those of a class that asks for something else.
 * It walks over them in batches and queues what its policy is not content with; the replicator
 * copies and trims. Positions are settings, so any tracker goes on where another died (I9).
 */

import type { FileClass } from '../../placement/model.ts';
import { parsePolicy } from '../../placement/policy.ts';
import type { FileWithReplicas } from '../../store/store.ts';
import { askAbout } from '../replication/question.ts';
import { RoundJob, type RoundJobOptions } from '../round-job.ts';
import { type JobServices, nowSeconds } from '../services.ts';
import { lostDevices } from './lost-devices.ts';

export interface HealerOptions extends RoundJobOptions {
  /**
   * Until every tracker knows of a change, in seconds. A walk begins then: before, one that does
   * not know yet may copy for a file that was just looked at, and it would keep one too many.
   */
  settleSeconds: number;
  /** Reads the topology again; resolves with a reading that began after the call. */
  reloadTopology: () => Promise<void>;
  /** Told when files wait for replication. */
  onQueued: () => void;
}

const batchFiles = 250;
/** Batches of a walk until the other walks have their turn, and changes are looked for again. */
const turnBatches = 8;
/** More files than this do not wait at once, so that the queue stays short and new files fast. */
const queueMax = 20_000;
const lostField = 'omg_lost_devices';
const sweepPattern = /^omg_sweep_(device|class)_(\d+)(?:_(\d+))?$/;

interface Sweep {
  field: string;
  /** As it was read. */
  value: string;
  isDevice: boolean;
  /** devid, or dmid and classid. */
  ids: readonly [number, number];
  position: number;
}

export class Healer extends RoundJob {
  readonly #services: JobServices;
  readonly #options: HealerOptions;

  constructor(services: JobServices, options: HealerOptions) {
    super('heal', services.log, options);
    this.#services = services;
    this.#options = options;
  }

  protected async round(): Promise<void> {
    const { store } = this.#services;
    await store.withLock({ name: 'omg:heal', waitMs: 0 }, async (lost) => {
      for (let goesOn = true; goesOn && !lost.aborted && !this.isResting; ) {
        await this.#noteLost();
        await this.#noteClasses();
        goesOn = false;
        for (const sweep of await this.#sweeps()) {
          goesOn = (await this.#walk(sweep, lost)) || goesOn;
        }
      }
    });
  }

  /** Writes down which devices are lost, and that files on those that changed are to be seen to. */
  async #noteLost(): Promise<void> {
    const { store, topology, log } = this.#services;
    const before = [...topology.devices()].filter(({ devid }) => topology.isLost(devid));
    const lost = lostDevices(topology, nowSeconds());
    const was = new Set(before.map(({ devid }) => devid));
    const gone = lost.filter((devid) => !was.has(devid));
    const back = [...was].filter((devid) => !lost.includes(devid));
    if (gone.length === 0 && back.length === 0) return;
    for (const devid of [...gone, ...back]) {
      await this.#noteSweep(`omg_sweep_device_${devid}`);
    }
    const value = lost.length === 0 ? undefined : lost.join();
    await store.setSetting({ field: lostField, value });
    log.warn({ gone, back, lost }, 'devices.lost');
    await this.#options.reloadTopology();
  }

  /** Compares what classes ask for with what they asked for when their files were seen to last. */
  async #noteClasses(): Promise<void> {
    const { store, topology, log } = this.#services;
    let isNew = false;
    for (const { dmid, classes } of topology.domains()) {
      for (const fileClass of classes.values()) {
        if (topology.isImplicit(fileClass)) continue;
        const { classid } = fileClass;
        const field = `omg_class_${dmid}_${classid}`;
        const demand = demandOf(fileClass);
        const known = topology.setting(field) ?? (await store.findSetting(field));
        if (known === demand) continue;
        // A class that was never seen has no files yet, but for the default class, whose row comes
        // with the first change of it.
        if (known !== undefined || classid === 0) {
          await this.#noteSweep(`omg_sweep_class_${dmid}_${classid}`);
          log.info({ dmid, classid, before: known, now: demand }, 'class.changed');
        }
        await store.setSetting({ field, value: demand });
        isNew = true;
      }
    }
    // Or the next look finds the same change again, and has the walk wait once more.
    if (isNew) await this.#options.reloadTopology();
  }

  async #noteSweep(field: string): Promise<void> {
    const begin = nowSeconds() + this.#options.settleSeconds;
    await this.#services.store.setSetting({ field, value: `0@${begin}` });
  }

  /** Those that may go on now. */
  async #sweeps(): Promise<Sweep[]> {
    const settings = await this.#services.store.listSettings();
    return settings.flatMap(({ field, value }) => {
      const match = sweepPattern.exec(field);
      const [position, begin = 0] = value.split('@').map(Number);
      const waitSeconds = begin - nowSeconds();
      // More is a clock that was wrong.
      const isEarly = waitSeconds > 0 && waitSeconds <= this.#options.settleSeconds;
      if (match === null || isEarly) return [];
      const ids = [Number(match[2]), Number(match[3] ?? 0)] as const;
      return [{ field, value, isDevice: match[1] === 'device', ids, position: position || 0 }];
    });
  }

  /** @returns whether there is more to walk over right away. */
  async #walk(sweep: Sweep, lost: AbortSignal): Promise<boolean> {
    const { store } = this.#services;
    const { field } = sweep;
    let { position, value } = sweep;
    for (let batch = 0; batch < turnBatches && !lost.aborted && !this.isResting; batch += 1) {
      if ((await store.upkeep.waitingReplications(queueMax)) >= queueMax) return false;
      const { fids, last } = await this.#next(sweep, position);
      const files = await store.filesByFid(fids);
      const unhappy = files.filter((file) => this.#isUnhappy(file)).map(({ fid }) => fid);
      await store.upkeep.enqueueReplications(unhappy);
      if (unhappy.length > 0) this.#options.onQueued();
      const to = last === undefined ? undefined : String(last);
      // Somebody may have begun it anew meanwhile, for another change.
      if (!(await store.upkeep.moveSweep({ field, from: value, to }))) return true;
      if (last === undefined || to === undefined) return false;
      [position, value] = [last, to];
    }
    return true;
  }

  /** The next fids of a sweep, and how far they reach; undefined at the end. */
  async #next(
    { isDevice, ids: [id, classid] }: Sweep,
    after: number,
  ): Promise<{ fids: number[]; last: number | undefined }> {
    const { store } = this.#services;
    if (isDevice) {
      const fids = await store.upkeep.fidsOn({ devid: id, after, limit: batchFiles });
      return { fids, last: fids.length < batchFiles ? undefined : fids.at(-1) };
    }
    const rows = await store.filesAfter({ after, limit: batchFiles });
    const ours = rows.filter((row) => row.dmid === id && row.classid === classid);
    const last = rows.length < batchFiles ? undefined : rows.at(-1)?.fid;
    return { fids: ours.map(({ fid }) => fid), last };
  }

  #isUnhappy(file: FileWithReplicas): boolean {
    const { replpolicy } = this.#services.topology.classOf(file.dmid, file.classid);
    return parsePolicy(replpolicy).known && askAbout(this.#services, file).verdict !== 'met';
  }
}

function demandOf({ mindevcount, replpolicy }: FileClass): string {
  return `${mindevcount} ${replpolicy ?? ''}`.trim();
}
