/**
 * The head of an answer to a GET, read strictly: what is not plainly HTTP/1.1 with a known length
 * is an error, and another replica is asked instead.
 */

export interface ResponseHead {
  status: number;
  /** By lower-case name; what comes more than once is joined by commas. */
  headers: ReadonlyMap<string, string>;
  bodyBytes: number;
  /** Whether the connection may carry another request after the body. */
  keepAlive: boolean;
}

const statusPattern = /^HTTP\/1\.([01]) ([2-5]\d\d)(?: [^\r\n]*)?$/;
/** No control characters and no folded lines (RFC 9112 section 5). */
const fieldPattern = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)$/;

/** @param text everything before the empty line. @throws Error that says what is wrong. */
export function parseResponseHead(text: string): ResponseHead {
  const [statusLine = '', ...lines] = text.split('\r\n');
  const [, minor, status] = statusPattern.exec(statusLine) ?? [];
  if (status === undefined) throw new Error(`answered '${statusLine.slice(0, 80)}'`);
  const headers = new Map<string, string>();
  for (const line of lines) {
    const [, name, value] = fieldPattern.exec(line) ?? [];
    if (name === undefined || value === undefined) throw new Error('sent a malformed header');
    const before = headers.get(name.toLowerCase());
    const trimmed = value.trim();
    headers.set(name.toLowerCase(), before === undefined ? trimmed : `${before}, ${trimmed}`);
  }
  const length = headers.get('content-length') ?? '';
  if (headers.has('transfer-encoding') || !/^\d{1,15}$/.test(length)) {
    throw new Error(`answered ${status} without a length`);
  }
  const keepAlive = minor === '1' && !/\bclose\b/i.test(headers.get('connection') ?? '');
  return { status: Number(status), headers, bodyBytes: Number(length), keepAlive };
}
