/** Checksums as the protocol writes them, `ALG:hex`, and as the database numbers them. */

export type HashType = 'MD5' | 'SHA-1';

export interface Checksum {
  type: HashType;
  /** Lower-case hexadecimal digest. */
  hex: string;
}

interface HashFacts {
  /** Value of `checksum.hashtype` and `class.hashtype` (spec §3.2). */
  id: number;
  /** Name for `node:crypto`. */
  algorithm: string;
  hexLength: number;
}

export const hashTypes: Readonly<Record<HashType, HashFacts>> = {
  MD5: { id: 1, algorithm: 'md5', hexLength: 32 },
  'SHA-1': { id: 2, algorithm: 'sha1', hexLength: 40 },
};

/** The name of a stored hash type, or undefined for none or one this version does not know. */
export function hashTypeOf(id: number | null | undefined): HashType | undefined {
  return (Object.keys(hashTypes) as HashType[]).find((type) => hashTypes[type].id === id);
}

/** Parses `MD5:<32 hex>` or `SHA-1:<40 hex>`, either case; undefined when it is neither. */
export function parseChecksum(text: string): Checksum | undefined {
  const match = /^(MD5|SHA-1):([0-9A-Fa-f]+)$/.exec(text);
  if (match === null) return undefined;
  const type = match[1] as HashType;
  const hex = (match[2] as string).toLowerCase();
  return hex.length === hashTypes[type].hexLength ? { type, hex } : undefined;
}

export function formatChecksum(checksum: Checksum): string {
  return `${checksum.type}:${checksum.hex}`;
}
