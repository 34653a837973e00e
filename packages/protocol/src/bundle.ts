/**
 * Many small files of a node in one answer, for another node that fetches them: a POST to `/` with
 * a JSON list of targets, each as it would be asked for by itself, with its signature. The answer
 * is a row of frames in any order, one a target. One by one they would cost a request each.
 */
import { pullBatch } from './pull.ts';

export const bundle = {
  /** Header of the request. */
  header: 'omgfs-bundle',
  /** Content-Type of the answer; a server that answers anything else does not know bundles. */
  type: 'application/vnd.omgfs.bundle',
  targetsMax: pullBatch.ordersMax,
  /** Larger ones gain too little to be held in memory as a whole. */
  fileBytesMax: 256 * 1024,
  bodyBytesMax: pullBatch.bodyBytesMax,
  /** Three numbers of four bytes: which target, status, length of what follows. */
  headBytes: 12,
} as const;

/** In place of a status: the node cannot say it in a frame; the file has to be asked for alone. */
export const askAlone = 0;

export interface FrameHead {
  /** Place of its target in the request. */
  index: number;
  /** 200 with the bytes of the file, `askAlone`, or the status a GET would have had. */
  status: number;
  /** Bytes that follow: those of the file, or none. */
  bytes: number;
}

export function writeFrameHead(into: Buffer, { index, status, bytes }: FrameHead): void {
  into.writeUInt32BE(index, 0);
  into.writeUInt32BE(status, 4);
  into.writeUInt32BE(bytes, 8);
}

/** What `FrameReader` tells; calls come in the order of the bytes. */
export interface FrameSink {
  /** @returns where the bytes that follow are to go; undefined lets them be passed over. */
  begin(head: FrameHead): Buffer | undefined;
  /** All bytes of the frame have come. */
  end(head: FrameHead): void;
}

/** Takes an answer apart as it comes, and keeps nothing of it but the head of one frame. */
export class FrameReader {
  readonly #sink: FrameSink;
  readonly #left: Set<number>;
  readonly #headBytes = Buffer.alloc(bundle.headBytes);
  #headDone = 0;
  #head: FrameHead | undefined;
  #into: Buffer | undefined;
  #done = 0;

  /** @param targets how many were asked for. */
  constructor(targets: number, sink: FrameSink) {
    this.#sink = sink;
    this.#left = new Set(Array(targets).keys());
  }

  /** Whether every target has had its frame, and nothing came after the last. */
  get complete(): boolean {
    return this.#left.size === 0 && this.#head === undefined && this.#headDone === 0;
  }

  /** @throws RangeError for what is no row of frames, or not of these targets. */
  push(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; ) {
      if (this.#head === undefined) at += this.#readHead(chunk, at);
      else at += this.#readBytes(this.#head, chunk, at);
      const head = this.#head;
      if (head === undefined || this.#done < head.bytes) continue;
      this.#head = undefined;
      this.#into = undefined;
      this.#sink.end(head);
    }
  }

  #readHead(chunk: Buffer, at: number): number {
    const taken = chunk.copy(this.#headBytes, this.#headDone, at);
    this.#headDone += taken;
    if (this.#headDone < bundle.headBytes) return taken;
    this.#headDone = 0;
    const [index, status, bytes] = [0, 4, 8].map((from) => this.#headBytes.readUInt32BE(from));
    const head = { index: index ?? 0, status: status ?? 0, bytes: bytes ?? 0 };
    if (!this.#left.delete(head.index)) throw new RangeError(`a frame for no target: ${index}`);
    if (head.bytes > bundle.fileBytesMax) throw new RangeError(`a frame of ${bytes} bytes`);
    this.#head = head;
    this.#done = 0;
    this.#into = this.#sink.begin(head);
    return taken;
  }

  #readBytes({ bytes }: FrameHead, chunk: Buffer, at: number): number {
    const taken = Math.min(bytes - this.#done, chunk.length - at);
    if (this.#into !== undefined) chunk.copy(this.#into, this.#done, at, at + taken);
    this.#done += taken;
    return taken;
  }
}
