/** Writes VP8 frames as a WebM film with an index, so that a browser can jump in it. */

export interface Frame {
  timeMs: number;
  key: boolean;
  bytes: Buffer;
}

/** An element of EBML: its number as it stands in the file, and what it holds. */
function element(id: number, content: Buffer | number | string | readonly Buffer[]): Buffer {
  const body = Array.isArray(content) ? Buffer.concat(content) : bytesOf(content as never);
  const digits = id.toString(16);
  const size = Buffer.alloc(8);
  // A size in eight bytes, whose first bit says so.
  size.writeBigUInt64BE((1n << 56n) | BigInt(body.length));
  return Buffer.concat([Buffer.from(digits, 'hex'), size, body]);
}

function bytesOf(content: Buffer | number | string): Buffer {
  if (typeof content === 'string') return Buffer.from(content);
  if (typeof content !== 'number') return content;
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(content));
  return bytes;
}

function float(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleBE(value);
  return bytes;
}

/** @param frames in their order; a new cluster begins with each key frame. */
export function webm(
  frames: readonly Frame[],
  film: { width: number; height: number; durationMs: number },
): Buffer {
  const head = element(0x1a45dfa3, [
    ...[element(0x4286, 1), element(0x42f7, 1), element(0x42f2, 4), element(0x42f3, 8)],
    ...[element(0x4282, 'webm'), element(0x4287, 2), element(0x4285, 2)],
  ]);
  const info = element(0x1549a966, [
    ...[element(0x2ad7b1, 1_000_000), element(0x4489, float(film.durationMs))],
    ...[element(0x4d80, 'test'), element(0x5741, 'test')],
  ]);
  const video = element(0xe0, [element(0xb0, film.width), element(0xba, film.height)]);
  const tracks = element(0x1654ae6b, [
    element(0xae, [
      ...[element(0xd7, 1), element(0x73c5, 1), element(0x83, 1), element(0x86, 'V_VP8'), video],
    ]),
  ]);
  const clusters = clustersOf(frames);
  // Every number has eight bytes, so the index is as long with any positions.
  const indexBytes = index(clusters, 0).length;
  const cues = index(clusters, info.length + tracks.length + indexBytes);
  const segment = [info, tracks, cues, ...clusters.map(({ bytes }) => bytes)];
  return Buffer.concat([head, element(0x18538067, segment)]);
}

interface Cluster {
  timeMs: number;
  bytes: Buffer;
}

function clustersOf(frames: readonly Frame[]): Cluster[] {
  const groups: Frame[][] = [];
  for (const frame of frames) {
    if (frame.key) groups.push([]);
    groups.at(-1)?.push(frame);
  }
  return groups.map((group) => {
    const timeMs = group[0]?.timeMs ?? 0;
    const blocks = group.map((frame) => {
      const prefix = Buffer.from([0x81, 0, 0, frame.key ? 0x80 : 0]);
      prefix.writeInt16BE(frame.timeMs - timeMs, 1);
      return element(0xa3, [prefix, frame.bytes]);
    });
    return { timeMs, bytes: element(0x1f43b675, [element(0xe7, timeMs), ...blocks]) };
  });
}

function index(clusters: readonly Cluster[], first: number): Buffer {
  let position = first;
  const points = clusters.map(({ timeMs, bytes }) => {
    const place = element(0xb7, [element(0xf7, 1), element(0xf1, position)]);
    position += bytes.length;
    return element(0xbb, [element(0xb3, timeMs), place]);
  });
  return element(0x1c53bb6b, points);
}
