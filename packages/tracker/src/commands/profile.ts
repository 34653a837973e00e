/** Where the time of a request goes: `debug_profile` of `create_open` (spec §2.1). */
import type { ReplyFields } from '@omgfs/protocol';

export class Profile {
  readonly #points: { name: string; seconds: number }[] = [];

  /** Notes that something was reached. */
  reached(name: string): void {
    this.#points.push({ name, seconds: (performance.timeOrigin + performance.now()) / 1000 });
  }

  /** Points in their order, with Unix times. */
  fields(): ReplyFields {
    const fields: ReplyFields = { profpoints: this.#points.length };
    for (const [index, { name, seconds }] of this.#points.entries()) {
      fields[`prof_${index + 1}_name`] = name;
      fields[`prof_${index + 1}_time`] = seconds.toFixed(6);
    }
    return fields;
  }
}
