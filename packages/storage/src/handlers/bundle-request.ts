/**
 * The asking side of a bundle. It reads the answer into one buffer by itself: an HTTP client makes
 * a new one for every 64 KiB, and collecting these cost more than all else (126 instead of 30 µs
 * for a file of 64 KiB, 2026-11). HTTP/1.0 lets the answer come as it is, up to its end.
 */
import { connect } from 'node:net';
import { bundle } from '@omgfs/protocol';

export interface BundleRequest {
  /** Any address of the node. */
  node: URL;
  /** What is asked for, as JSON. */
  targets: string;
  /** Without progress for so long it is given up. */
  stallMs: number;
  gone: AbortSignal;
  /** What comes is in it only until `take` returns; in use until the promise is settled. */
  buffer: Buffer;
  /** Takes the next bytes; a promise of false ends it, and until then nothing more is read. */
  take: (chunk: Buffer) => true | Promise<boolean>;
}

/** `unknown`: the answer is of a server that does not know bundles. */
export type BundleAnswer = 'ended' | 'unknown';

const headBytesMax = 16 * 1024;
const okLine = /^HTTP\/1\.\d 200 /;
const typeLine = new RegExp(`\r\ncontent-type: *${bundle.type.replaceAll('.', '\\.')} *\r\n`, 'i');

/** @throws errors of the system, what `take` throws, and an error when the node falls silent. */
export function requestBundle(request: BundleRequest): Promise<BundleAnswer> {
  return new Promise((resolve, reject) => {
    const { node, stallMs, gone, buffer } = request;
    const socket = connect({
      host: node.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: Number(node.port) || 80,
      noDelay: true,
      onread: { buffer, callback: (bytes) => onBytes(buffer.subarray(0, bytes)) },
    });
    let outcome: { answer: BundleAnswer } | { error: unknown } = { answer: 'ended' };
    const end = (reason: typeof outcome) => {
      outcome = reason;
      socket.destroy();
    };
    const stop = () => end({ error: gone.reason });
    /** Of the answer, until all of it is there. */
    let head: Buffer | undefined = Buffer.alloc(0);
    const onBytes = (chunk: Buffer): boolean => {
      if (socket.destroyed) return false;
      try {
        const rest = head === undefined ? chunk : onHead(Buffer.concat([head, chunk]));
        return rest.length === 0 || goOn(request.take(rest));
      } catch (error) {
        end({ error });
        return false;
      }
    };
    const onHead = (bytes: Buffer): Buffer => {
      const length = bytes.indexOf('\r\n\r\n');
      head = length < 0 ? bytes : undefined;
      const text = bytes.toString('latin1', 0, length + 2);
      if (length < 0 ? bytes.length > headBytesMax : !(okLine.test(text) && typeLine.test(text))) {
        end({ answer: 'unknown' });
      }
      return length < 0 || socket.destroyed ? Buffer.alloc(0) : bytes.subarray(length + 4);
    };
    const goOn = (more: true | Promise<boolean>): boolean => {
      if (more === true) return true;
      // The other side is not to blame for this wait.
      socket.setTimeout(0);
      void more.then((isWanted) => {
        if (!isWanted) return end({ answer: 'ended' });
        socket.setTimeout(stallMs);
        socket.resume();
      });
      return false;
    };
    socket.setTimeout(stallMs, () => end({ error: new Error(`silent for ${stallMs} ms`) }));
    socket.once('error', (error) => end({ error }));
    socket.once('close', () => {
      gone.removeEventListener('abort', stop);
      if ('error' in outcome) reject(outcome.error);
      else resolve(outcome.answer);
    });
    gone.addEventListener('abort', stop, { once: true });
    if (gone.aborted) stop();
    else socket.write(requestText(request));
  });
}

function requestText({ node, targets }: BundleRequest): string {
  const length = Buffer.byteLength(targets);
  return (
    `POST / HTTP/1.0\r\nHost: ${node.host}\r\n${bundle.header}: 1\r\n` +
    `Content-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${targets}`
  );
}
