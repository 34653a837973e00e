/**
 * Headers of tar archives (POSIX ustar and pax; read also GNU and older ones). Names and values are
 * byte strings. Nothing here does I/O.
 */

export const blockBytes = 512;

/** As it stands in a header block; what pax says beside it is not yet in it. */
export interface Header {
  name: string;
  length: number;
  type: string;
}

/** Largest number that eleven octal digits hold. */
const octalMax = 8 ** 11 - 1;

/** Bytes up to the next full block. */
export function paddingOf(length: number): number {
  return (blockBytes - (length % blockBytes)) % blockBytes;
}

/** Blocks of a file: what ustar cannot say is in pax records before. */
export function fileHeader(member: { name: string; length: number; comment?: string }): Buffer {
  const { name, length, comment } = member;
  const records: [string, string][] = [];
  if (name.length > 100 || /[^\x20-\x7e]/.test(name)) records.push(['path', name]);
  if (length > octalMax) records.push(['size', String(length)]);
  if (comment !== undefined) records.push(['comment', comment]);
  const short = name.length > 100 ? name.slice(-100) : name;
  const plain = encodeBlock({ name: short, length, type: '0' });
  return records.length === 0 ? plain : Buffer.concat([paxHeader('x', records), plain]);
}

/** Blocks of a comment about the whole archive. */
export function globalComment(comment: string): Buffer {
  return paxHeader('g', [['comment', comment]]);
}

function paxHeader(type: 'x' | 'g', records: readonly [string, string][]): Buffer {
  const body = Buffer.from(records.map(paxRecord).join(''), 'latin1');
  const header = encodeBlock({ name: 'PaxHeaders/omgfs', length: body.length, type });
  return Buffer.concat([header, body, Buffer.alloc(paddingOf(body.length))]);
}

/** `<length> <name>=<value>\n`, where the length counts itself. */
function paxRecord([name, value]: readonly [string, string]): string {
  const rest = ` ${name}=${value}\n`;
  let length = rest.length + 1;
  while (String(length).length + rest.length > length) length += 1;
  return `${length}${rest}`;
}

function encodeBlock({ name, length, type }: Header): Buffer {
  const block = Buffer.alloc(blockBytes);
  block.write(name, 0, 100, 'latin1');
  block.write('0000644\0', 100);
  block.write('0000000\0', 108);
  block.write('0000000\0', 116);
  writeNumber(block, length);
  block.write('00000000000\0', 136);
  block.write(type, 156);
  block.write('ustar\x0000', 257);
  block.write(`${checksumOf(block).toString(8).padStart(6, '0')}\0 `, 148);
  return block;
}

/** The size field: octal, or base 256 where that is too short. */
function writeNumber(block: Buffer, length: number): void {
  if (length <= octalMax) block.write(`${length.toString(8).padStart(11, '0')}\0`, 124);
  else {
    block.writeBigUInt64BE(BigInt(length), 128);
    block[124] = 0x80;
  }
}

/** @returns undefined for what is no header. */
export function decodeBlock(block: Buffer): Header | undefined {
  const sum = octal(block, 148, 8);
  const length = sizeOf(block);
  if (sum !== checksumOf(block) || length === undefined) return undefined;
  const type = String.fromCharCode(block[156] ?? 0);
  const name = text(block, 0, 100);
  // GNU's own format keeps times where ustar keeps the beginning of long names.
  const prefix = text(block, 257, 6) === 'ustar' ? text(block, 345, 155) : '';
  return { name: prefix === '' ? name : `${prefix}/${name}`, length, type };
}

/** Records of a pax header. @returns undefined when they are none. */
export function decodePax(body: Buffer): Map<string, string> | undefined {
  const records = new Map<string, string>();
  let at = 0;
  while (at < body.length) {
    const space = body.indexOf(0x20, at);
    const digits = space < 0 ? '' : body.toString('latin1', at, space);
    const end = at + Number(digits);
    const record = body.toString('latin1', space + 1, end);
    const equals = record.indexOf('=');
    const whole = /^\d{1,7}$/.test(digits) && end <= body.length && record.endsWith('\n');
    if (!whole || equals < 1) return undefined;
    records.set(record.slice(0, equals), record.slice(equals + 1, -1));
    at = end;
  }
  return records;
}

/** The sum of all bytes, those of the sum itself taken for blanks. */
function checksumOf(block: Buffer): number {
  let sum = 8 * 0x20;
  for (const [at, byte] of block.entries()) if (at < 148 || at >= 156) sum += byte;
  return sum;
}

function sizeOf(block: Buffer): number | undefined {
  const first = block[124] ?? 0;
  if (first < 0x80) return octal(block, 124, 12);
  const high = block.subarray(125, 128);
  const value = block.readBigUInt64BE(128);
  const fits = first === 0x80 && high.every((byte) => byte === 0);
  return fits && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
}

function octal(block: Buffer, at: number, width: number): number | undefined {
  const digits = text(block, at, width).trim();
  if (!/^[0-7]*$/.test(digits)) return undefined;
  return digits === '' ? 0 : Number.parseInt(digits, 8);
}

function text(block: Buffer, at: number, width: number): string {
  const field = block.toString('latin1', at, at + width);
  const end = field.indexOf('\0');
  return end < 0 ? field : field.slice(0, end);
}
