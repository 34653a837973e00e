/**
 * Bytes as lines. Not `node:readline`: for that, U+2028 ends a line, and it may stand in any key.
 */
import { OmgfsError } from '@omgfs/protocol';

/** No line of ours comes near; of another file it bounds the memory. */
const lineBytesMax = 1024 * 1024;

/** Lines without their ends; what stands behind the last end counts too. @throws BAD_ARGS. */
export async function* linesOf(chunks: AsyncIterable<Buffer>): AsyncGenerator<string> {
  let pieces: Buffer[] = [];
  let bytes = 0;
  const take = (piece: Buffer) => {
    pieces.push(piece);
    bytes += piece.length;
    if (bytes > lineBytesMax) {
      throw new OmgfsError('BAD_ARGS', { message: `a line is longer than ${lineBytesMax} bytes` });
    }
  };
  const line = () => {
    const text = Buffer.concat(pieces).toString('utf8');
    pieces = [];
    bytes = 0;
    return text;
  };
  for await (const chunk of chunks) {
    let start = 0;
    for (let end = chunk.indexOf(0x0a); end >= 0; end = chunk.indexOf(0x0a, start)) {
      take(chunk.subarray(start, end));
      yield line();
      start = end + 1;
    }
    if (start < chunk.length) take(chunk.subarray(start));
  }
  if (bytes > 0) yield line();
}
