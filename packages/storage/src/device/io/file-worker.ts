/**
 * The file thread of a device: writes and reads small files with plain calls, one after the other,
 * and sleeps when there are none. It is the only thread that such a call keeps waiting. What goes
 * wrong is not explained here: the node does it again its own way.
 */
import * as fs from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import {
  at,
  FileSlots,
  readsBody,
  type Slot,
  slotBodyBytesMax,
  state,
  word,
} from './file-slots.ts';

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_NONBLOCK, O_RDONLY, O_WRONLY } = fs.constants;
const slots = new FileSlots(workerData as SharedArrayBuffer);
const { control } = slots;

function tell(): void {
  // Whoever has not looked yet since the last message will see this too.
  if (Atomics.exchange(control, at.told, 1) === 0) parentPort?.postMessage(null);
}

function carryOut(slot: Slot): void {
  const { words } = slot;
  const [, , tempBytes = 0, pathBytes = 0, bodyBytes = 0] = words;
  const temp = slot.text.toString('utf8', 0, tempBytes);
  if (bodyBytes === readsBody) read(temp, slot);
  if (bodyBytes >= 0) write(temp, slot, bodyBytes);
  if (pathBytes === 0) return;
  const fd = words[word.fd] ?? -1;
  if (fd >= 0) {
    words[word.fd] = -1;
    fs.closeSync(fd);
  }
  fs.renameSync(temp, slot.text.toString('utf8', tempBytes, tempBytes + pathBytes));
}

function write(temp: string, { words, body, stamp }: Slot, bytes: number): void {
  const fd = fs.openSync(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644);
  // From here on the node can close it, whatever becomes of this thread.
  words[word.fd] = fd;
  for (let done = 0; done < bytes; ) done += fs.writeSync(fd, body, done, bytes - done);
  if (words[word.stamped] === 1) {
    const { ino, size, mtimeMs } = fs.fstatSync(fd);
    stamp.set([ino, size, mtimeMs]);
  }
}

function read(path: string, { words, body }: Slot): void {
  const fd = fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK);
  try {
    const stats = fs.fstatSync(fd);
    if (!stats.isFile() || stats.size > slotBodyBytesMax) throw new RangeError('not for here');
    for (let done = 0; done < stats.size; ) {
      const bytes = fs.readSync(fd, body, done, stats.size - done, done);
      if (bytes === 0) throw new RangeError('it became shorter');
      done += bytes;
    }
    words[word.bodyBytes] = stats.size;
  } finally {
    fs.closeSync(fd);
  }
}

function next(slot: Slot): void {
  const { words } = slot;
  const before = Atomics.compareExchange(words, word.state, state.waiting, state.begun);
  if (before !== state.waiting) return;
  let after: number = state.done;
  try {
    carryOut(slot);
  } catch {
    after = state.failed;
  }
  Atomics.store(words, word.state, after);
}

tell();
for (let done = 0, ending = false; !ending; ) {
  const pushed = Atomics.load(control, at.pushed);
  if (done === pushed) {
    Atomics.store(control, at.asleep, 1);
    Atomics.wait(control, at.pushed, pushed);
    Atomics.store(control, at.asleep, 0);
  }
  while (done !== pushed) {
    const slot = slots.of(done);
    ending = slot.words[word.tempBytes] === 0;
    if (!ending) next(slot);
    done = (done + 1) | 0;
    Atomics.store(control, at.done, done);
    tell();
  }
}
