/**
 * `sync=batch`: files that are written at the same time share one sync of their file system. Node
 * has no syncfs, so a helper (`sync -f` of coreutils, started once a device by a shell) calls it;
 * for a few files, and where there is no helper, each file gets its own fdatasync.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { fdatasync } from '../files.ts';
import type { Runner } from './runner.ts';

interface Waiting {
  fd: number;
  done: () => void;
  fail: (error: unknown) => void;
}

/** Below this a sync of each file is cheaper than waking the helper (measured 2026-11). */
const shareMin = 4;

/** Reads a line, syncs the file system that holds the directory, answers with a line. */
const helperScript = 'while read -r _; do if sync -f "$0"; then echo ok; else echo bad; fi; done';

export class BatchSync {
  readonly #root: string;
  readonly #run: Runner;
  #waiting: Waiting[] = [];
  #busy = false;
  #helper: Helper | undefined;

  /** @param root a directory of the file system; `run` is the device's share of the threads. */
  constructor(root: string, run: Runner) {
    this.#root = root;
    this.#run = run;
  }

  /** Resolves when what was written to the open file before this call is on the disk. */
  sync(fd: number): Promise<void> {
    return new Promise((done, fail) => {
      this.#waiting.push({ fd, done, fail });
      if (!this.#busy) void this.#drain();
    });
  }

  close(): void {
    this.#helper?.close();
    this.#helper = undefined;
  }

  async #drain(): Promise<void> {
    this.#busy = true;
    // What arrives in the same turn of the event loop goes along.
    await new Promise(setImmediate);
    while (this.#waiting.length > 0) {
      const files = this.#waiting;
      this.#waiting = [];
      if (files.length < shareMin || !(await this.#syncShared())) {
        await Promise.all(files.map((file) => this.#syncOne(file)));
      } else {
        for (const { done } of files) done();
      }
    }
    this.#busy = false;
  }

  #syncOne({ fd, done, fail }: Waiting): Promise<void> {
    return this.#run(() => fdatasync(fd)).then(done, fail);
  }

  /** @returns false when it is not certain that everything is on the disk. */
  async #syncShared(): Promise<boolean> {
    this.#helper ??= new Helper(this.#root);
    if (await this.#helper.sync()) return true;
    this.close();
    return false;
  }
}

/** A shell that waits for lines, so that no sync has to fork this large process. */
class Helper {
  readonly #child: ChildProcess;
  #answer: ((ok: boolean) => void) | undefined;
  #gone = false;

  constructor(root: string) {
    this.#child = spawn('/bin/sh', ['-c', helperScript, root], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    const end = () => {
      this.#gone = true;
      this.#settle(false);
    };
    this.#child.once('error', end).once('close', end);
    this.#child.stdin?.on('error', end);
    this.#child.stdout?.on('data', (text: Buffer) => this.#settle(text.toString() === 'ok\n'));
    // It must keep neither the process nor, when that is killed, itself: its input ends then.
    this.#child.unref();
  }

  sync(): Promise<boolean> {
    if (this.#gone) return Promise.resolve(false);
    return new Promise((resolve) => {
      this.#answer = resolve;
      this.#child.stdin?.write('\n');
    });
  }

  close(): void {
    this.#child.stdin?.end();
  }

  #settle(ok: boolean): void {
    this.#answer?.(ok);
    this.#answer = undefined;
  }
}
