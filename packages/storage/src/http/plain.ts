/**
 * The plain form of a request, which nearly all have: one that reads the same to every parser. What
 * is not certainly of this form is not refused here but left to the strict parser of node:http, so
 * that there is one judge of odd requests and nothing to smuggle between the two. Pure.
 */

export interface PlainHead {
  method: 'GET' | 'HEAD' | 'PUT' | 'DELETE';
  target: string;
  /** By lower-case name. Shared by requests with the same headers: not to be changed. */
  headers: Readonly<Record<string, string>>;
  /** Of the head, with the empty line at its end. */
  bytes: number;
  /** Of the body that follows. */
  bodyBytes: number;
}

/** Longer heads are none of a plain request. */
const headBytesMax = 4096;

const headEnding = Buffer.from('\r\n\r\n');

const requestLine = /^(GET|HEAD|PUT|DELETE) (\/[A-Za-z0-9/_.%?&=~:@!$'()*+,;-]*) HTTP\/1\.1$/;
/** Neither folded, nor with spaces at an end of the value, nor beyond ASCII. */
const headerLine = /^([A-Za-z0-9-]+): ?((?:[!-~](?:[ -~]*[!-~])?)?)$/;
const plainLength = /^(?:0|[1-9][0-9]{0,8})$/;

/** Headers that say where a message ends, what becomes of the connection, or that it is a part. */
const framing = new Set([
  'transfer-encoding',
  'upgrade',
  'expect',
  'te',
  'trailer',
  'keep-alive',
  'proxy-connection',
  'http2-settings',
  'content-range',
]);

/** Reads heads of one connection; most of its requests have the same headers. */
export class PlainReader {
  #block = '';
  #headers: Readonly<Record<string, string>> | undefined = {};

  /** The head at the beginning of the bytes, if it is whole and plain. */
  read(bytes: Buffer): PlainHead | undefined {
    const end = bytes.indexOf(headEnding);
    if (end < 0 || end + headEnding.length > headBytesMax) return undefined;
    // Without the body, all of which whoever keeps the name would keep.
    const text = bytes.toString('latin1', 0, end);
    const firstEnd = text.indexOf('\r\n');
    const lineEnd = firstEnd < 0 ? end : firstEnd;
    const [, method, target] = requestLine.exec(text.slice(0, lineEnd)) ?? [];
    if (target === undefined) return undefined;
    const block = text.slice(lineEnd);
    if (block !== this.#block) {
      this.#block = block;
      this.#headers = parseHeaders(block);
    }
    const headers = this.#headers;
    if (headers === undefined) return undefined;
    const length = headers['content-length'];
    // Without a length a body has no end, and with one the other methods are odd.
    if ((method === 'PUT') !== (length !== undefined)) return undefined;
    const bodyBytes = Number(length ?? 0);
    return { method: method as PlainHead['method'], target, headers, bytes: end + 4, bodyBytes };
  }
}

/** @param block lines that each begin with a line end. */
function parseHeaders(block: string): Record<string, string> | undefined {
  const headers: Record<string, string> = {};
  for (const line of block.split('\r\n').slice(1)) {
    const [, mixed = '', value] = headerLine.exec(line) ?? [];
    const name = mixed.toLowerCase();
    if (value === undefined || name in headers || framing.has(name)) return undefined;
    if (name === 'connection' && value.toLowerCase() !== 'keep-alive') return undefined;
    if (name === 'content-length' && !plainLength.test(value)) return undefined;
    headers[name] = value;
  }
  return headers;
}
