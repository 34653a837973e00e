/**
 * Latencies in bounded memory: exact below 128 µs, then 64 buckets for each power of two, so that
 * any quantile is known to better than one percent whatever the number of samples. Values above
 * half an hour are counted as half an hour.
 */

const exactBelow = 128;
const exactBits = 7;
const bucketsPerOctave = 64;
const valueMax = 2 ** 31 - 1;
const bucketCount = exactBelow + (31 - exactBits) * bucketsPerOctave;

export class Histogram {
  readonly #counts = new Uint32Array(bucketCount);
  #total = 0;

  get count(): number {
    return this.#total;
  }

  record(micros: number): void {
    const index = bucketOf(micros);
    this.#counts[index] = (this.#counts[index] ?? 0) + 1;
    this.#total += 1;
  }

  /** The value in microseconds below which `share` (0–1) of the samples lie; 0 without samples. */
  quantile(share: number): number {
    const rank = Math.max(1, Math.ceil(share * this.#total));
    let seen = 0;
    for (let index = 0; index < bucketCount; index += 1) {
      seen += this.#counts[index] ?? 0;
      if (seen >= rank) return middleOf(index);
    }
    return 0;
  }
}

function bucketOf(micros: number): number {
  const value = Math.min(valueMax, Math.max(0, Math.round(micros)));
  if (value < exactBelow) return value;
  const exponent = 31 - Math.clz32(value);
  // The six bits below the leading one choose the bucket inside the octave.
  const within = (value >>> (exponent - 6)) - bucketsPerOctave;
  return exactBelow + (exponent - exactBits) * bucketsPerOctave + within;
}

function middleOf(index: number): number {
  if (index < exactBelow) return index;
  const octave = Math.floor((index - exactBelow) / bucketsPerOctave);
  const within = (index - exactBelow) % bucketsPerOctave;
  const width = 2 ** (octave + exactBits - 6);
  return (bucketsPerOctave + within) * width + (width - 1) / 2;
}
