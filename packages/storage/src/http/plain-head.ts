/** Heads of answers as node:http writes them, for those that do not go through it. */
import { type OutgoingHttpHeaders, STATUS_CODES } from 'node:http';

/** Longer than the 30 s of the original, because clients keep connections for about that long. */
export const keepAliveMs = 60_000;

/** The head but for its end. */
export function headStart(status: number, headers: OutgoingHttpHeaders | string[]): string {
  let text = `HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n`;
  if (Array.isArray(headers)) {
    for (let at = 0; at < headers.length; at += 2) text += `${headers[at]}: ${headers[at + 1]}\r\n`;
  } else {
    for (const name in headers) text += `${name}: ${headers[name]}\r\n`;
  }
  return text;
}

let madeAtSeconds = 0;
let made = '';

/** What ends every head, made once a second. */
export function headEnd(): string {
  const seconds = Math.floor(Date.now() / 1000);
  if (seconds !== madeAtSeconds) {
    madeAtSeconds = seconds;
    const date = new Date(seconds * 1000).toUTCString();
    const keepAlive = `Keep-Alive: timeout=${Math.floor(keepAliveMs / 1000)}`;
    made = `Date: ${date}\r\nConnection: keep-alive\r\n${keepAlive}\r\n\r\n`;
  }
  return made;
}
