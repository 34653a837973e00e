/**
 * What this tracker handed out by `create_open` a moment ago, so that the `create_close` that
 * follows needs no lookup. Only a shortcut: class and devices of an upload never change, and
 * whether it is still open is decided in the transaction that closes it.
 */
import { RecentMap } from '@omgfs/protocol';
import type { TempfileRow } from '../store/store.ts';

export type OpenUpload = Pick<TempfileRow, 'classid' | 'devids'>;

const uploadsMax = 20_000;

export class OpenUploads {
  readonly #uploads = new RecentMap<number, OpenUpload>(uploadsMax);

  add(fid: number, upload: OpenUpload): void {
    this.#uploads.set(fid, upload);
  }

  /** Takes an upload out: each is closed once. */
  take(fid: number): OpenUpload | undefined {
    const upload = this.#uploads.get(fid);
    this.#uploads.delete(fid);
    return upload;
  }
}
