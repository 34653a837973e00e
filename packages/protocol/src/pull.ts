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
} as const;

/** What a signature of a pull allows: to fetch this very source. */
export function pullMethod(source: string): string {
  return `PULL ${source}`;
}
