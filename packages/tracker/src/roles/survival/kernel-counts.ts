/**
 * How far the streams of TCP connections were read and written, as the kernel counts it. Node has
 * no call for that (TCP_INFO), so the `ss` of iproute2 is asked; Linux only.
 */
import { execFile } from 'node:child_process';

/** Bytes that processes of this machine have taken from a connection and given to it. */
export interface StreamCounts {
  read: number;
  written: number;
}

const timeoutMs = 10_000;
const outputBytesMax = 64 * 1024 * 1024;

/**
 * Counts of all established connections to a local port, by `<local>:<port> <peer>:<port>`.
 * Rejects when `ss` is not there.
 */
export function kernelCounts(localPort: number): Promise<Map<string, StreamCounts>> {
  const args = ['-tinH', 'state', 'established', 'sport', '=', `:${localPort}`];
  return new Promise((resolve, reject) => {
    const options = { timeout: timeoutMs, maxBuffer: outputBytesMax };
    execFile('ss', args, options, (error, output) => {
      if (error === null) resolve(parseCounts(output));
      else reject(error);
    });
  });
}

/**
 * Reads the output of `ss -tinH`: a line of queues and addresses, then an indented one of counters.
 * Without counters the connection is left out. Of two figures read one after the other the counter
 * is the later one, so both sums may be too high while bytes move, and never too low.
 */
export function parseCounts(output: string): Map<string, StreamCounts> {
  const counts = new Map<string, StreamCounts>();
  for (const part of output.split(/\n(?=\S)/)) {
    const [, unread, unacked, local, peer, rest = ''] =
      /^(\d+)\s+(\d+)\s+(\S+)\s+(\S+)(.*)$/s.exec(part) ?? [];
    if (!/\brto:/.test(rest)) continue;
    // Counters that are 0 are not printed.
    const counter = (name: string) => Number(new RegExp(` ${name}:(\\d+)`).exec(rest)?.[1] ?? 0);
    counts.set(`${local} ${peer}`, {
      read: counter('bytes_received') - Number(unread),
      written: counter('bytes_acked') + Number(unacked),
    });
  }
  return counts;
}
