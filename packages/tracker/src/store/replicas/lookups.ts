/**
 * Looks up files for readers: in a replica database where there are some, else in the master (spec
 * §3.8). A replica may be behind, so it is not believed that a key does not exist, and keys that
 * this tracker has just written are looked up in the master for a while.
 */
import { RecentMap } from '@omgfs/protocol';
import type { Log } from '../../log.ts';
import type { Key } from '../sql/files.ts';
import type { FilesStore, FileWithReplicas } from '../store.ts';
import { Replica } from './replica.ts';
import { type ReplicaList, replicaListOf } from './replica-list.ts';

/** Keys remembered as written; the half that was written last certainly is. */
const writtenMax = 50_000;

export class Lookups {
  readonly #master: Pick<FilesStore, 'findFile'>;
  readonly #log: Log;
  readonly #random: () => number;
  #replicas: Replica[] = [];
  #list: ReplicaList = replicaListOf(() => undefined);
  #saidFaults = '';
  /** Until when each key is looked up in the master. */
  readonly #written = new RecentMap<string, number>(writtenMax);

  constructor(options: {
    master: Pick<FilesStore, 'findFile'>;
    log: Log;
    random?: () => number;
  }) {
    this.#master = options.master;
    this.#log = options.log;
    this.#random = options.random ?? Math.random;
  }

  /** Takes the settings as they are now; databases that stay are kept open. */
  configure(setting: (name: string) => string | undefined): void {
    this.#list = replicaListOf(setting);
    const { places, faults } = this.#list;
    if (faults.join() !== this.#saidFaults) {
      this.#saidFaults = faults.join();
      for (const reason of faults) this.#log.warn({ reason }, 'replica.unusable');
    }
    const before = this.#replicas;
    const isSame = (one: Replica, text: string, weight: number) =>
      one.place.text === text && one.place.weight === weight;
    this.#replicas = places.map((place) => {
      const kept = before.find((one) => isSame(one, place.text, place.weight));
      const { name } = place;
      const onRest = (reason: string) => this.#log.warn({ name, reason }, 'replica.failed');
      return kept ?? new Replica(place, { timing: () => this.#list, onRest });
    });
    for (const one of before) if (!this.#replicas.includes(one)) void one.end();
  }

  /** @throws DB_DOWN when neither the master nor a replica can tell. */
  findFile(key: Key): Promise<FileWithReplicas | undefined> {
    // Without replicas, as nearly always, not even a promise more.
    if (this.#replicas.length === 0 || this.#isFresh(key)) return this.#master.findFile(key);
    return this.#findInReplica(key).then((file) => file ?? this.#master.findFile(key));
  }

  /** Notes that the file of a key changes. */
  wrote(key: Key): void {
    if (this.#replicas.length === 0) return;
    this.#written.set(keyText(key), performance.now() + this.#list.lagMs);
  }

  async close(): Promise<void> {
    await Promise.all(this.#replicas.map((one) => one.end()));
    this.#replicas = [];
  }

  #isFresh(key: Key): boolean {
    const until = this.#written.get(keyText(key));
    if (until === undefined) return false;
    if (until > performance.now()) return true;
    this.#written.delete(keyText(key));
    return false;
  }

  /** Undefined also when no replica can be asked. */
  async #findInReplica(key: Key): Promise<FileWithReplicas | undefined> {
    let left = this.#replicas.filter((one) => !one.isResting);
    while (left.length > 0) {
      const chosen = this.#choose(left);
      try {
        return await chosen.findFile(key);
      } catch {
        // It has said why, and rests.
        left = left.filter((one) => one !== chosen);
      }
    }
    return undefined;
  }

  #choose(among: readonly Replica[]): Replica {
    const total = among.reduce((sum, { place }) => sum + place.weight, 0);
    let at = this.#random() * total;
    for (const one of among) {
      at -= one.place.weight;
      if (at < 0) return one;
    }
    return among[among.length - 1] as Replica;
  }
}

function keyText({ dmid, dkey }: Key): string {
  return `${dmid}:${dkey}`;
}
