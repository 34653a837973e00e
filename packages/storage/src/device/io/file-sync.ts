/** How a node makes a written file durable: by itself, together with others, or not at all. */
import { fdatasync } from '../files.ts';
import { BatchSync } from './batch-sync.ts';
import type { Runner } from './runner.ts';

export type SyncMode = 'always' | 'batch' | 'never';

export interface FileSync {
  /** Undefined when nothing is synced. */
  sync: ((fd: number) => Promise<void>) | undefined;
  /** Ends what runs besides this process. */
  close(): void;
}

/** @param root a directory of the file system; `run` is where its calls take their turn. */
export function createFileSync(mode: SyncMode, root: string, run: Runner): FileSync {
  switch (mode) {
    case 'never':
      return { sync: undefined, close: () => {} };
    case 'batch': {
      const batch = new BatchSync(root, run);
      return { sync: (fd) => batch.sync(fd), close: () => batch.close() };
    }
    case 'always':
      return { sync: (fd) => run(() => fdatasync(fd)), close: () => {} };
  }
}
