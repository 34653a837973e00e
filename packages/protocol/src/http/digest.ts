/**
 * Digests of bodies: `Content-MD5` (RFC 1864), `Content-Digest` and `Repr-Digest` (RFC 9530), as
 * announced by a writer or wanted by whoever asks. They are computed while a body passes by. Pure
 * but for the hashing.
 */
import { createHash, type Hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { OmgfsError } from '../errors.ts';

/** Lower-case hex by algorithm of node:crypto. */
export type Digests = Readonly<Record<string, string>>;

interface Announced {
  /** Name for `node:crypto`. */
  algorithm: string;
  base64: string;
}

const byteLengths: Readonly<Record<string, number>> = { md5: 16, sha256: 32, sha512: 64 };
const digestNames: Readonly<Record<string, string>> = {
  md5: 'md5',
  'sha-256': 'sha256',
  'sha-512': 'sha512',
};

/** Digests of a body that is fed in pieces, compared with what was announced. */
export class DigestCheck {
  readonly #announced: readonly Announced[];
  readonly #hashes = new Map<string, Hash>();

  /** @param wanted algorithms to compute without anything to compare with. */
  constructor(announced: readonly Announced[], wanted: readonly string[] = []) {
    this.#announced = announced;
    for (const algorithm of [...announced.map((one) => one.algorithm), ...wanted]) {
      this.#hashes.set(algorithm, createHash(algorithm));
    }
  }

  /** Whether there is something to compare with. */
  get checks(): boolean {
    return this.#announced.length > 0;
  }

  update(chunk: Uint8Array): void {
    for (const hash of this.#hashes.values()) hash.update(chunk);
  }

  /** @throws BAD_DIGEST when the body was another than announced. */
  verify(): Digests {
    const actual = new Map<string, Buffer>();
    for (const [algorithm, hash] of this.#hashes) actual.set(algorithm, hash.digest());
    for (const { algorithm, base64 } of this.#announced) {
      const text = actual.get(algorithm)?.toString('base64');
      if (text === base64) continue;
      throw new OmgfsError('BAD_DIGEST', {
        message: `The body has the ${algorithm} ${text}, but ${base64} was announced.`,
      });
    }
    return Object.fromEntries([...actual].map(([name, digest]) => [name, digest.toString('hex')]));
  }
}

/**
 * The check for an upload, or undefined when nothing is announced or wanted that this node can
 * compute; algorithms it does not know are ignored, as RFC 9530 §2 asks.
 * @throws BAD_REQUEST when a digest is malformed.
 */
export function digestCheckOf(headers: IncomingHttpHeaders): DigestCheck | undefined {
  const md5 = headers['content-md5'];
  const announced: Announced[] = [];
  if (typeof md5 === 'string') announced.push(checked('md5', md5.trim()));
  // Of a whole body without an encoding the two are the same.
  for (const name of ['content-digest', 'repr-digest']) {
    const fields = headers[name];
    if (typeof fields === 'string') announced.push(...parseFields(name, fields));
  }
  const wanted = wantedAlgorithm(headers['want-repr-digest']);
  if (announced.length === 0 && wanted === undefined) return undefined;
  return new DigestCheck(announced, wanted === undefined ? [] : [wanted]);
}

/** What a `Want-…-Digest` header (RFC 9530 §4) likes best of what this node can compute. */
export function wantedAlgorithm(header: string | string[] | undefined): string | undefined {
  let best: string | undefined;
  let weightBest = 0;
  for (const field of String(header ?? '').split(',')) {
    const match = /^\s*([a-z0-9-]+)\s*=\s*(\d{1,2})\s*$/i.exec(field);
    const algorithm = digestNames[(match?.[1] ?? '').toLowerCase()];
    const weight = Number(match?.[2]);
    // A weight of zero means: not this one.
    if (algorithm === undefined || !(weight > weightBest)) continue;
    best = algorithm;
    weightBest = weight;
  }
  return best;
}

/** The digest of bytes at hand, as lower-case hex. */
export function digestOf(bytes: Buffer, algorithm: string): string {
  return createHash(algorithm).update(bytes).digest('hex');
}

/** The value of a `Content-Digest` or `Repr-Digest` header. */
export function digestField(algorithm: string, hex: string): string {
  const name = Object.keys(digestNames).find((key) => digestNames[key] === algorithm);
  return `${name}=:${Buffer.from(hex, 'hex').toString('base64')}:`;
}

function parseFields(header: string, fields: string): Announced[] {
  return fields.split(',').flatMap((field) => {
    const match = /^\s*([a-z0-9-]+)\s*=\s*:([A-Za-z0-9+/=]*):\s*$/i.exec(field);
    if (match === null) throw malformed(header, field.trim());
    const algorithm = digestNames[(match[1] ?? '').toLowerCase()];
    return algorithm === undefined ? [] : [checked(algorithm, match[2] ?? '')];
  });
}

function checked(algorithm: string, text: string): Announced {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== byteLengths[algorithm]) throw malformed(algorithm, text);
  return { algorithm, base64: bytes.toString('base64') };
}

function malformed(what: string, text: string): OmgfsError {
  return new OmgfsError('BAD_REQUEST', { message: `${what} is not a digest in base64: ${text}` });
}
