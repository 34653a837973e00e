/** The words of a node-to-node copy: a POST to the target that names the source (docs/storage). */
export const pullHeaders = {
  /** URL of the replica to fetch. */
  source: 'omgfs-pull',
  /** Length in bytes it must have. */
  length: 'omgfs-length',
  /** `ALG:hex` it must have; in the answer what it has. */
  checksum: 'omgfs-checksum',
  /** Kind of checksum to compute when none is expected. */
  hash: 'omgfs-hash',
  /** On a POST to `/`: the body is a list of copies, see `PullOrder`. */
  batch: 'omgfs-pulls',
} as const;

/** One copy of a batch: each with the signature that it would have by itself. */
export interface PullOrder {
  /** Of the target, with its signature. */
  target: string;
  /** The URL to fetch, with its signature. */
  source: string;
  /** In bytes. */
  length: number;
  /** `ALG:hex` it must have. */
  checksum?: string;
  /** Kind of checksum to compute when none is expected. */
  hash?: string;
}

/** What became of it, in the place of the order: the status that it would have had by itself. */
export interface PullAnswer {
  status: number;
  /** The length of the file in its place, as its device shows it. */
  bytes?: number;
  checksum?: string;
  /** What was wrong with the source. */
  reason?: string;
}

/** Batches are for files whose request costs more than their bytes. */
export const pullBatch = {
  ordersMax: 64,
  fileBytesMax: 1024 * 1024,
  bodyBytesMax: 256 * 1024,
} as const;

/** What a signature of a pull allows: to fetch this very source. */
export function pullMethod(source: string): string {
  return `PULL ${source}`;
}
