/**
 * Digests of stored files for trackers. Those for fsck run one at a time for each device, so that a
 * check of the whole cluster does not slow down readers; the others a few at a time.
 */
import { createHash } from 'node:crypto';
import { type HashType, hashTypes } from '@omgfs/protocol';
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import { closeNow, readFully } from '../device/files.ts';
import { type OpenFile, openFile } from '../device/reader.ts';
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
    // The client may have gone while this waited for its turn.
    if (aborted()) return { state: 'failed', offset };
    let device: Device;
    let file: OpenFile;
    try {
      device = await this.#devices.find(devid);
      device.assertReadable();
      file = await openFile(device, name);
    } catch {
      return { state: 'missing' };
    }
    const { fd, stats } = file;
    try {
      if (!stats.isFile()) return { state: 'missing' };
      const hash = createHash(hashTypes[type].algorithm);
      const buffer = Buffer.allocUnsafe(chunkBytes);
      for (;;) {
        const at = offset;
        const bytes = await device.run(() => readFully(fd, buffer, at));
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
