/**
 * The identity file of a device: which disk this is, whatever directory it is mounted on (I6). It
 * is written once, when a device is seen for the first time, and survives every later move.
 */
import { randomUUID } from 'node:crypto';
import {
  errnoOf,
  fdatasync,
  readFile,
  rename,
  stat,
  syncDirectory,
  writeAtomically,
  writeFully,
} from './files.ts';

const identityName = '.omgfs-device.json';

export interface Identity {
  uuid: string;
  devid: number;
  /** ISO 8601. */
  created: string;
}

export type IdentityFile =
  | { state: 'present'; identity: Identity }
  | { state: 'absent' }
  | { state: 'damaged'; reason: string };

/** Reads the identity below a device directory. @throws errors of the system but for ENOENT. */
export async function readIdentity(root: string): Promise<IdentityFile> {
  let text: string;
  try {
    text = await readFile(`${root}/${identityName}`, 'utf8');
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return { state: 'absent' };
    throw error;
  }
  try {
    const { uuid, devid, created } = JSON.parse(text) as Partial<Identity>;
    if (typeof uuid === 'string' && Number.isSafeInteger(devid) && devid !== undefined) {
      return { state: 'present', identity: { uuid, devid, created: String(created) } };
    }
    return { state: 'damaged', reason: 'it names no uuid or no devid' };
  } catch (error) {
    return { state: 'damaged', reason: String(error) };
  }
}

/** Changes whenever the identity file does, or another file system is mounted over it. */
export async function identityStamp(root: string): Promise<string> {
  const { dev, ino, mtimeMs, ctimeMs, size } = await stat(`${root}/${identityName}`);
  return `${dev}:${ino}:${mtimeMs}:${ctimeMs}:${size}`;
}

/** Gives a device a new identity, durably. @param temp a free name on the same file system. */
export async function writeIdentity(root: string, devid: number, temp: string): Promise<Identity> {
  const identity = { uuid: randomUUID(), devid, created: new Date().toISOString() };
  const text = `${JSON.stringify(identity, undefined, 2)}\n`;
  await writeAtomically({
    temp,
    sync: fdatasync,
    fill: (fd) => writeFully(fd, Buffer.from(text)),
    place: async () => {
      await rename(temp, `${root}/${identityName}`);
      await syncDirectory(root);
    },
  });
  return identity;
}
