/**
 * Digests of stored files for trackers. Those for fsck run one at a time for each device, so that a
 * check of the whole cluster does not slow down readers; the others a few at a time.
 */
import { createHash } from 'node:crypto';
import { type HashType, hashTypes } from '@omgfs/protocol';
import type { Devices } from '../device/devices.ts';
import { closeNow, readFully } from '../device/files.ts';
import { openFile } from '../device/reader.ts';
import { Lanes } from './lanes.ts';

export type DigestOutcome =
  | { state: 'present'; hex: string }
  | { state: 'missing' }
  | { state: 'failed'; offset: number };

const chunkBytes = 256 * 1024;
const ordinaryAtOnce = 4;

export class Digests {
  readonly #devices: Devices;
  readonly #background = new Lanes(1);
  readonly #ordinary = new Lanes(ordinaryAtOnce);

  constructor(devices: Devices) {
    this.#devices = devices;
  }

  /** Never rejects; `aborted` ends the work when nobody waits for it any more. */
  digest(request: {
    devid: number;
    name: string;
    type: HashType;
    background: boolean;
    aborted: () => boolean;
  }): Promise<DigestOutcome> {
    const lanes = request.background ? this.#background : this.#ordinary;
    return lanes.run(request.devid, () => this.#digest(request));
  }

  async #digest(request: Parameters<Digests['digest']>[0]): Promise<DigestOutcome> {
    const { devid, name, type, aborted } = request;
    let offset = 0;
    let fd: number | undefined;
    try {
      const device = await this.#devices.find(devid);
      device.assertReadable();
      const file = await openFile(device, name);
      fd = file.fd;
      if (!file.stats.isFile()) return { state: 'missing' };
    } catch {
      return { state: 'missing' };
    }
    try {
      const hash = createHash(hashTypes[type].algorithm);
      const buffer = Buffer.allocUnsafe(chunkBytes);
      for (;;) {
        const bytes = await readFully(fd, buffer, offset);
        hash.update(buffer.subarray(0, bytes));
        offset += bytes;
        if (bytes < buffer.length) return { state: 'present', hex: hash.digest('hex') };
        if (aborted()) return { state: 'failed', offset };
      }
    } catch {
      return { state: 'failed', offset };
    } finally {
      closeNow(fd);
    }
  }
}
