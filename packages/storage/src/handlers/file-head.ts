/** Headers of an answer with a file. */
import type { Stats } from 'node:fs';
import type { OutgoingHttpHeaders } from 'node:http';
import { parseFidPath } from '@omgfs/protocol';
import type { Device } from '../device/device.ts';
import { serverHeader } from '../http/reply.ts';

/**
 * The original sends `text/plain` for `.fid` files, by a mistake of its table of types; what is in
 * them is unknown to the node, and a browser must not be made to show it.
 */
export const contentType = 'application/octet-stream';

export interface Found {
  device: Device;
  /** Relative to the device. */
  name: string;
}

export interface Validators {
  etag: string;
  modifiedSeconds: number;
}

export function validatorsOf(found: Found, stats: Stats): Validators {
  const modifiedSeconds = Math.floor(stats.mtimeMs / 1000);
  return { etag: etagOf(found, stats), modifiedSeconds };
}

/** The same on every replica of a fid, which a file time or an inode number would not be. */
export function etagOf({ device, name }: Found, stats: Stats): string {
  const fid = parseFidPath(`/dev${device.devid}/${name}`)?.fid;
  if (fid !== undefined) return `"${fid}-${stats.size}"`;
  return `"${Math.floor(stats.mtimeMs)}-${stats.size}"`;
}

export function fileHeaders({ etag, modifiedSeconds }: Validators): OutgoingHttpHeaders {
  return {
    'Accept-Ranges': 'bytes',
    ETag: etag,
    'Last-Modified': new Date(modifiedSeconds * 1000).toUTCString(),
  };
}

/** Names and values of the head of a whole file, to the end but for the date. */
export function wholeHead(found: Found, stats: Stats): string[] {
  const headers = fileHeaders(validatorsOf(found, stats));
  return headList({ ...headers, 'Content-Type': contentType }, stats.size);
}

export function headList(headers: OutgoingHttpHeaders, length: number): string[] {
  const all = { ...serverHeader, ...headers, 'Content-Length': length };
  return Object.entries(all).flatMap(([name, value]) => [name, String(value)]);
}
