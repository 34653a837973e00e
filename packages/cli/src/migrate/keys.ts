/** Keys, which may be any bytes, in JSON. Inside they are byte strings: one character a byte. */
import { fromByteString, toByteString } from '@omgfs/protocol';

export interface JsonKey {
  /** The key as text, when it is UTF-8. */
  key?: string;
  /** Its bytes in hexadecimal digits, when it is not. */
  keyHex?: string;
}

export function jsonKey(key: string): JsonKey {
  const text = fromByteString(key);
  return toByteString(text) === key
    ? { key: text }
    : { keyHex: Buffer.from(key, 'latin1').toString('hex') };
}

/** The byte string; undefined when there is none or not exactly one. */
export function keyFromJson({ key, keyHex }: Record<string, unknown>): string | undefined {
  if (typeof key === 'string' && keyHex === undefined) return toByteString(key);
  if (typeof keyHex !== 'string' || key !== undefined) return undefined;
  return /^(?:[0-9a-f]{2})+$/.test(keyHex)
    ? Buffer.from(keyHex, 'hex').toString('latin1')
    : undefined;
}

/** For messages. */
export function keyText(key: string): string {
  return fromByteString(key);
}

export function keyBytes(key: string): Buffer {
  return Buffer.from(key, 'latin1');
}
