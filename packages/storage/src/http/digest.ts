/**
 * Digests that a client announces for a body: `Content-MD5` (RFC 1864) and `Content-Digest`
 * (RFC 9530). They are computed while the body passes by. Pure but for the hashing.
 */
import { createHash, type Hash } from 'node:crypto';
import type { IncomingHttpHeaders } from 'node:http';
import { OmgfsError } from '@omgfs/protocol';

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

/** Compares a body, fed in pieces, with what was announced. */
export class DigestCheck {
  readonly #announced: readonly Announced[];
  readonly #hashes: readonly Hash[];

  constructor(announced: readonly Announced[]) {
    this.#announced = announced;
    this.#hashes = announced.map(({ algorithm }) => createHash(algorithm));
  }

  update(chunk: Buffer): void {
    for (const hash of this.#hashes) hash.update(chunk);
  }

  /** @throws BAD_DIGEST when the body was another than announced. */
  verify(): void {
    for (const [index, { algorithm, base64 }] of this.#announced.entries()) {
      const actual = this.#hashes[index]?.digest('base64');
      if (actual === base64) continue;
      throw new OmgfsError('BAD_DIGEST', {
        message: `The body has the ${algorithm} ${actual}, but ${base64} was announced.`,
      });
    }
  }
}

/**
 * The check for a request, or undefined when nothing is announced that this node can compute;
 * algorithms it does not know are ignored, as RFC 9530 §2 asks.
 * @throws BAD_REQUEST when a digest is malformed.
 */
export function digestCheckOf(headers: IncomingHttpHeaders): DigestCheck | undefined {
  const md5 = headers['content-md5'];
  const fields = headers['content-digest'];
  if (md5 === undefined && fields === undefined) return undefined;
  const announced: Announced[] = [];
  if (typeof md5 === 'string') announced.push(checked('md5', md5.trim()));
  if (typeof fields === 'string') {
    for (const field of fields.split(',')) {
      const match = /^\s*([a-z0-9-]+)\s*=\s*:([A-Za-z0-9+/=]*):\s*$/i.exec(field);
      if (match === null) throw malformed('Content-Digest', field.trim());
      const algorithm = digestNames[(match[1] ?? '').toLowerCase()];
      if (algorithm !== undefined) announced.push(checked(algorithm, match[2] ?? ''));
    }
  }
  return announced.length === 0 ? undefined : new DigestCheck(announced);
}

function checked(algorithm: string, text: string): Announced {
  const bytes = Buffer.from(text, 'base64');
  if (bytes.length !== byteLengths[algorithm]) throw malformed(algorithm, text);
  return { algorithm, base64: bytes.toString('base64') };
}

function malformed(what: string, text: string): OmgfsError {
  return new OmgfsError('BAD_REQUEST', { message: `${what} is not a digest in base64: ${text}` });
}
