/** A download whose bytes are compared with the checksum that the tracker keeps. */
import { createHash } from 'node:crypto';
import { pipeline, Transform } from 'node:stream';
import { type Checksum, formatChecksum, hashTypes, OmgfsError } from '@omgfs/protocol';
import type { Download } from './download.ts';

/** The same download; its stream fails at the end with CHECKSUM_MISMATCH. */
export function verifiedDownload(download: Download, checksum: Checksum): Download {
  const { type, hex } = checksum;
  const hash = createHash(hashTypes[type].algorithm);
  const stream = new Transform({
    transform: (chunk: Buffer, _, done) => {
      hash.update(chunk);
      done(null, chunk);
    },
    flush: (done) => {
      const found = formatChecksum({ type, hex: hash.digest('hex') });
      if (found === `${type}:${hex}`) return done();
      const message = `the bytes have the checksum ${found}, the tracker keeps ${type}:${hex}`;
      done(new OmgfsError('CHECKSUM_MISMATCH', { message }));
    },
  });
  // What goes wrong is an error of the stream that the caller has.
  pipeline(download.stream, stream, () => {});
  return { ...download, stream, checksum: formatChecksum(checksum) };
}
