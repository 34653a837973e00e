/**
 * Keeps the memory of buffers that were handed out and dropped again small. V8 looks at its young
 * objects when they fill 16 MiB, or when the buffers that they hold reach 32 MiB, and buffers of
 * 64 KiB hardly fill anything: 32 to 64 MiB of them gather, whatever little is in use. A large
 * buffer that nobody touches makes it look early: V8 counts it, but the system gives pages only to
 * what is written. What V8 gave up is freed by a thread of its own, by the next look at the latest,
 * so twice `lookBytes` may wait. Measured with 1 GiB in pieces of 64 KiB on a busy machine: a
 * process that only reads held 63 to 76 MiB at most instead of 86 to 98, at no cost; one that has
 * loaded undici, whose larger heap V8 marks at every second look, 80 instead of 104 to 127, for 1 s
 * of processor time (2026-11-21, Node.js 20).
 */

const lookBytes = 8 * 1024 * 1024;
/** As many as V8 allows; also so large that no allocator keeps it for smaller ones. */
const ballastBytes = 32 * 1024 * 1024;

let handedOut = 0;

/** To be called for each buffer that passes through here and is not used again. */
export function handOut(bytes: number): void {
  handedOut += bytes;
  if (handedOut < lookBytes) return;
  handedOut = 0;
  Buffer.allocUnsafeSlow(ballastBytes);
}
