/**
 * The tracker's line protocol, spec §1.1–1.4: requests are decoded and replies encoded here, byte
 * for byte as MogileFS 2.73 does. Lines are *byte strings*: JavaScript strings whose code units are
 * 0–255 (latin1), because keys may hold any byte and no charset is implied. Nothing here does I/O.
 */

/** Arguments of a request or fields of a reply; values are byte strings. */
export type Fields = Record<string, string>;

/** Reply fields before encoding: numbers are printed, null and undefined become empty values. */
export type ReplyFields = Record<string, string | number | null | undefined>;

export interface Request {
  /** Lower-cased command word, empty when the line does not begin with one. */
  command: string;
  args: Fields;
}

const commandPattern = /^ *([A-Za-z0-9_]+)/;
const escapePattern = /%([0-9A-Fa-f]{2})/g;
const changedPattern = /[^A-Za-z0-9_,\-./\\:]/;
const unsafeBytes = /[^A-Za-z0-9_,\-./\\: ]/g;

/** Takes one request line without its line end apart; never throws (spec §1.2). */
export function decodeRequest(line: string): Request {
  const match = commandPattern.exec(line);
  if (match === null) return { command: '', args: decodeArgs(line) };
  let from = match[0].length;
  while (line[from] === ' ' || line[from] === '\t') from += 1;
  return { command: (match[1] as string).toLowerCase(), args: decodeArgs(line.slice(from)) };
}

/** Decodes `a=b&c=d` with all the habits of the original, which clients rely on (spec §1.3). */
export function decodeArgs(text: string): Fields {
  const args: Fields = Object.create(null) as Fields;
  const escaped = text.includes('%') || text.includes('+');
  // By positions: this runs once for each request and each reply.
  for (let from = 0; from < text.length; ) {
    const ampersand = text.indexOf('&', from);
    const end = ampersand < 0 ? text.length : ampersand;
    const start = from;
    from = end + 1;
    if (end === start || (end === start + 1 && text[start] === '0')) continue;
    let nameEnd = text.indexOf('=', start);
    let value = '';
    if (nameEnd < 0 || nameEnd > end) nameEnd = end;
    else {
      const second = text.indexOf('=', nameEnd + 1);
      value = text.slice(nameEnd + 1, second < 0 || second > end ? end : second);
    }
    let name = text.slice(start, nameEnd);
    if (escaped) {
      name = decodeText(name);
      value = decodeText(value);
    }
    const before = args[name];
    if (before === undefined) args[name] = value;
    else args[name] = isTrue(before) ? `${before}\0${value}` : before + value;
  }
  return args;
}

/** `+` becomes a blank, `%HH` the byte; malformed escapes stay as they are. */
export function decodeText(text: string): string {
  const spaced = text.includes('+') ? text.replaceAll('+', ' ') : text;
  if (!spaced.includes('%')) return spaced;
  return spaced.replace(escapePattern, (_, hex: string) =>
    String.fromCharCode(Number.parseInt(hex, 16)),
  );
}

/** Escapes a byte string for a reply or a request (spec §1.4). */
export function encodeText(text: string): string {
  if (!changedPattern.test(text)) return text;
  return text.replace(unsafeBytes, escapeByte).replaceAll(' ', '+');
}

function escapeByte(char: string): string {
  const code = char.charCodeAt(0);
  return `%${code < 16 ? '0' : ''}${code.toString(16).toUpperCase()}`;
}

/** Joins fields into `a=b&c=d`; an absent value is sent as `name=`. */
export function encodeArgs(fields: ReplyFields): string {
  let text = '';
  for (const name in fields) {
    const value = fields[name];
    const encoded =
      typeof value === 'number' ? String(value) : value == null ? '' : encodeText(value);
    text += `${text === '' ? '' : '&'}${encodeText(name)}=${encoded}`;
  }
  return text;
}

/** The success line; the blank after `OK` is part of the protocol even without fields. */
export function encodeOk(fields: ReplyFields): string {
  return `OK ${encodeArgs(fields)}\r\n`;
}

/** The error line: always a code and a text, and the callid when one was sent (spec §1.5). */
export function encodeError(reply: { code: string; text: string; callid?: string }): string {
  const callid = reply.callid === undefined ? '' : ` ${encodeText(reply.callid)}`;
  return `ERR ${reply.code} ${encodeText(reply.text)}${callid}\r\n`;
}

/** A reply as a client sees it. */
export type Reply =
  | { ok: true; fields: Fields }
  | { ok: false; code: string; text: string; callid: string | undefined };

/**
 * Takes a reply line without its line end apart.
 * @returns undefined when the line is no reply of this protocol.
 */
export function decodeReply(line: string): Reply | undefined {
  if (line.startsWith('OK ')) return { ok: true, fields: decodeArgs(line.slice(3)) };
  // Trackers before 2.0 put a length behind the word; clients have always skipped it (§1.4).
  const ok = /^OK\d*(?: (.*))?$/s.exec(line);
  if (ok !== null) return { ok: true, fields: decodeArgs(ok[1] ?? '') };
  const error = /^ERR (\S+)(?: (\S*))?(?: (\S*))?$/s.exec(line);
  if (error === null) return undefined;
  return {
    ok: false,
    code: error[1] as string,
    text: decodeText(error[2] ?? ''),
    callid: error[3] === undefined ? undefined : decodeText(error[3]),
  };
}

/** A request line with its line end. */
export function encodeRequest(command: string, args: ReplyFields): string {
  return `${command} ${encodeArgs(args)}\r\n`;
}

/** The original's idea of true: present, not empty and not `0` (spec §2). */
export function isTrue(value: string | undefined): boolean {
  return value !== undefined && value !== '' && value !== '0';
}

/** UTF-8 text to the byte string that travels on the wire. */
export function toByteString(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the whole ASCII range is meant.
  return /^[\x00-\x7f]*$/.test(text) ? text : Buffer.from(text, 'utf8').toString('latin1');
}

/** A byte string from the wire to text, reading its bytes as UTF-8. */
export function fromByteString(bytes: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the whole ASCII range is meant.
  return /^[\x00-\x7f]*$/.test(bytes) ? bytes : Buffer.from(bytes, 'latin1').toString('utf8');
}
