/**
 * Notices when the cluster offers what waiting files may have waited for: a device that takes files
 * or can be read again, or a class that asks for something else. Then they should all be tried
 * again, instead of sitting out their back-off (I5). A flapping device does that at a bounded rate.
 */
import type { Topology } from '../topology/topology.ts';

export interface ChancesOptions {
  topology: Topology;
  /** The least time between two calls of `onChance`. */
  everyMs: number;
  /** With the devices that can be read again. */
  onChance: (readable: number[]) => void;
}

export class Chances {
  readonly #options: ChancesOptions;
  #known = new Set<string>();
  #unsubscribe: () => void = () => {};
  #timer: NodeJS.Timeout | undefined;
  #lastMs = Number.NEGATIVE_INFINITY;
  readonly #readable = new Set<number>();

  constructor(options: ChancesOptions) {
    this.#options = options;
  }

  /** From here on; what is there already is no news. */
  start(): void {
    this.#known = chancesOf(this.#options.topology);
    this.#unsubscribe = this.#options.topology.onChange(() => this.#look());
  }

  stop(): void {
    this.#unsubscribe();
    clearTimeout(this.#timer);
  }

  #look(): void {
    const now = chancesOf(this.#options.topology);
    const news = [...now].filter((chance) => !this.#known.has(chance));
    for (const chance of news) {
      const [kind, devid] = chance.split(' ');
      if (kind === 'read') this.#readable.add(Number(devid));
    }
    this.#known = now;
    if (news.length === 0 || this.#timer !== undefined) return;
    const waitMs = Math.max(0, this.#lastMs + this.#options.everyMs - performance.now());
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#lastMs = performance.now();
      const readable = [...this.#readable];
      this.#readable.clear();
      this.#options.onChance(readable);
    }, waitMs);
  }
}

function chancesOf(topology: Topology): Set<string> {
  const chances = new Set<string>();
  for (const { devid } of topology.devices()) {
    if (topology.getsNewFiles(devid)) chances.add(`write ${devid}`);
    if (topology.isReadable(devid)) chances.add(`read ${devid}`);
  }
  for (const { classes } of topology.domains()) {
    for (const { dmid, classid, mindevcount, replpolicy } of classes.values()) {
      chances.add(`class ${dmid} ${classid} ${mindevcount} ${replpolicy}`);
    }
  }
  return chances;
}
