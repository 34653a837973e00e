/**
 * A bound on how long a disk may keep somebody waiting who cannot see it: a call on a disk that
 * hangs never returns, so its caller has to be answered while the call is still under way.
 */
import { startAwakeTimer } from '@omgfs/daemon';
import { OmgfsError } from '@omgfs/protocol';

/** A disk that writes fewer bytes in a millisecond is as good as hanging. */
const slowestBytesPerMs = 4096;

export class DiskWatch {
  readonly #patienceMs: number;
  #timer: NodeJS.Timeout | undefined;
  #fail: (reason: OmgfsError) => void = () => {};
  /** Never resolves. @throws DEVICE_BUSY when the disk took too long. */
  readonly hanging: Promise<never>;
  #gaveUp = false;

  /** @param stallMs for one call; the sync of `bytes` may take longer by what it has to write. */
  constructor({ stallMs, bytes }: { stallMs: number; bytes: number }) {
    this.#patienceMs = stallMs + bytes / slowestBytesPerMs;
    this.hanging = new Promise((_, reject) => {
      this.#fail = reject;
    });
    this.hanging.catch(() => {});
  }

  /** Whether it took too long: nobody waits for what it does any more. */
  get gaveUp(): boolean {
    return this.#gaveUp;
  }

  /** From now on it is the disk that is waited for. */
  work(): void {
    clearTimeout(this.#timer);
    this.#timer = startAwakeTimer(this.#patienceMs, () => {
      const seconds = Math.ceil(this.#patienceMs / 1000);
      const message = `The disk has not taken the file for ${seconds} s; try another device.`;
      this.#gaveUp = true;
      this.#fail(new OmgfsError('DEVICE_BUSY', { message }));
    });
  }

  /** From now on it is something else. */
  rest(): void {
    clearTimeout(this.#timer);
  }
}
