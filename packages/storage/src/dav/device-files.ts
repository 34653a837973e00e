/**
 * The devices as a file system for WebDAV: `/devN/...`. Every change goes through the checks of
 * identity, space and links, and is durable; the node's own names are neither seen nor changed.
 */
import { createHash } from 'node:crypto';
import { opendir, type Stats } from 'node:fs';
import { promisify } from 'node:util';
import { fromByteString, OmgfsError, toByteString } from '@omgfs/protocol';
import { type DavEntry, DavError, type DavFileSystem, type FileFacts } from '@omgfs/webdav';
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import { parentOf } from '../device/directories.ts';
import {
  closeNow,
  errnoOf,
  lstat,
  mkdir,
  moveOnto,
  moveToFree,
  readdir,
  readFully,
  rename,
  rmdir,
  statNow,
  unlink,
  writeFully,
} from '../device/files.ts';
import { openFile } from '../device/reader.ts';
import { storeFile } from '../device/writer.ts';
import { etagOf } from '../handlers/file-head.ts';
import { devidOf } from '../http/path.ts';
import { digestLogName } from '../integrity/digest-log.ts';
import { noteAside } from './asides.ts';

interface Place {
  device: Device;
  /** Relative to the device; empty for the device itself. */
  name: string;
  path: string;
}

const openDirectory = promisify(opendir);
const copyChunkBytes = 256 * 1024;
/** At the top of a device, what the node and the trackers rely on. */
const reserved: readonly string[] = ['usage', 'test-write'];

export class DeviceFiles implements DavFileSystem {
  readonly #devices: Devices;

  constructor(devices: Devices) {
    this.#devices = devices;
  }

  async stat(path: string): Promise<FileFacts | undefined> {
    if (path === '/') {
      const epoch = new Date(0);
      return { kind: 'collection', bytes: 0, modified: epoch, created: epoch, fixed: true };
    }
    const place = await this.#place(path);
    if (place === undefined) return undefined;
    const { device, name } = place;
    try {
      await device.directories.check(parentOf(name));
      const stats = await device.run(() => lstat(place.path));
      const { size: bytes, mtime: modified, birthtime: created } = stats;
      if (stats.isDirectory()) {
        const facts = { bytes: 0, modified, created };
        return { kind: 'collection', ...facts, ...(name === '' ? { fixed: true } : {}) };
      }
      if (!stats.isFile()) return undefined;
      return { kind: 'file', bytes, modified, created, etag: etagOf({ device, name }, stats) };
    } catch (error) {
      if (['ENOENT', 'ENOTDIR', 'ENAMETOOLONG'].includes(errnoOf(error))) return undefined;
      throw error;
    }
  }

  async *list(path: string): AsyncGenerator<DavEntry> {
    if (path === '/') {
      for (const { devid } of this.#devices.all()) yield { name: `dev${devid}` };
      return;
    }
    const place = await this.#mustPlace(path);
    // One at a time: names of a large directory must not be in memory all at once.
    const { run } = place.device;
    const entries = await run(() => openDirectory(place.path));
    try {
      for (;;) {
        const entry = await run(() => entries.read());
        if (entry === null) return;
        const { name } = entry;
        if (isPrivate(name) || (place.name === '' && reserved.includes(name))) continue;
        yield { name: toByteString(name) };
      }
    } finally {
      entries.closeSync();
    }
  }

  async makeCollection(path: string): Promise<void> {
    const { device, name } = await this.#writable(path);
    device.space.check(0);
    await device.directories.ensure(name);
  }

  async createEmpty(path: string): Promise<void> {
    const { device, name } = await this.#writable(path);
    device.space.check(0);
    await storeFile(device, name, async () => {}, { replace: false }).catch(taken);
  }

  async remove(path: string): Promise<void> {
    const place = await this.#writable(path);
    const { device } = place;
    if ((await device.run(() => lstat(place.path))).isDirectory()) {
      await removeDirectory(place);
    } else {
      await device.run(() => unlink(place.path));
    }
  }

  async move(
    from: string,
    to: string,
    { kind, replace }: { kind: FileFacts['kind']; replace: boolean },
  ): Promise<void> {
    const source = await this.#writable(from);
    const target = await this.#writable(to);
    const { device } = source;
    if (device !== target.device) {
      throw new OmgfsError('BAD_REQUEST', {
        message: 'MOVE does not lead from one device to another; use COPY and DELETE.',
      });
    }
    const digests = await knownDigests(source);
    await device
      .run(() => {
        if (kind === 'file') return moveFile(device, { from: source, to: target, replace });
        if (replace) return rename(source.path, target.path);
        return moveDirectoryToFree(source.path, target.path);
      })
      .catch(taken);
    device.forgetPlaces();
    // Those of a collection lie in its directories and have moved with them.
    if (digests !== undefined) device.digests.record(target.name, digests.stats, digests.known);
    await device.directories.sync(parentOf(target.name));
    await device.directories.sync(parentOf(source.name));
  }

  async noteAside(
    path: string,
    { replaced }: { replaced?: { path: string; by: string } } = {},
  ): Promise<() => Promise<void>> {
    const { device, name } = await this.#writable(path);
    if (replaced === undefined) return noteAside(device, { name });
    const [old, by] = [await this.#writable(replaced.path), await this.#writable(replaced.by)];
    return noteAside(device, { name, replaced: { name: old.name, by: by.name } });
  }

  async copyFile(
    from: string,
    to: string,
    { replace, signal }: { replace: boolean; signal: AbortSignal },
  ): Promise<void> {
    const source = await this.#mustPlace(from);
    const { device, name } = await this.#writable(to);
    const { fd: input, stats } = await openFile(source.device, source.name);
    try {
      const known = await source.device.digests.find(source.name, stats);
      const claim = device.space.claim(stats.size, { exempt: false });
      try {
        const hashes = Object.keys(known ?? {}).map((algorithm) => createHash(algorithm));
        let copied: Stats | undefined;
        const fill = async (fd: number) => {
          const buffer = Buffer.allocUnsafe(copyChunkBytes);
          for (let at = 0; ; ) {
            signal.throwIfAborted();
            const bytes = await source.device.run(() => readFully(input, buffer, at));
            if (bytes === 0) break;
            at += bytes;
            claim.use(bytes);
            const chunk = buffer.subarray(0, bytes);
            for (const hash of hashes) hash.update(chunk);
            await device.run(() => writeFully(fd, chunk));
          }
          // A copy must not make a file look good that rots.
          const hexes = hashes.map((hash) => hash.digest('hex'));
          if (Object.values(known ?? {}).some((hex, index) => hex !== hexes[index])) {
            throw new OmgfsError('BAD_DIGEST', {
              message: `${from} is not what was stored there; it is not copied.`,
            });
          }
          copied = statNow(fd);
        };
        await storeFile(device, name, fill, { replace }).catch(taken);
        if (known !== undefined && copied !== undefined) device.digests.record(name, copied, known);
      } finally {
        claim.release();
      }
    } finally {
      closeNow(input);
    }
  }

  /** @returns undefined where nothing can be, or nothing that may be seen. */
  async #place(bytes: string): Promise<Place | undefined> {
    const path = fromByteString(bytes);
    // The names that Node gives and takes are text.
    if (toByteString(path) !== bytes) return undefined;
    const [first = '', ...rest] = path.slice(1).split('/');
    const devid = devidOf(first);
    if (devid === undefined || rest.some(isPrivate)) return undefined;
    const [top] = rest;
    if (top !== undefined && reserved.includes(top)) return undefined;
    const device = await this.#devices.find(devid);
    device.assertReadable();
    const name = rest.join('/');
    return { device, name, path: name === '' ? device.root : `${device.root}/${name}` };
  }

  async #mustPlace(path: string): Promise<Place> {
    const place = await this.#place(path);
    if (place === undefined) {
      throw new OmgfsError('PATH_FORBIDDEN', { message: `${path} belongs to the node.` });
    }
    await place.device.directories.check(parentOf(place.name));
    return place;
  }

  async #writable(path: string): Promise<Place> {
    const place = path === '/' ? undefined : await this.#mustPlace(path);
    if (place === undefined || place.name === '') {
      throw new OmgfsError('PATH_FORBIDDEN', { message: 'Devices are made by the operator.' });
    }
    place.device.assertWritable();
    return place;
  }
}

/** What has come between the look and the change is not replaced. */
function taken(error: unknown): never {
  if (!['EEXIST', 'ENOTEMPTY'].includes(errnoOf(error))) throw error;
  throw new DavError(412, 'The destination exists.');
}

async function moveFile(
  device: Device,
  { from, to, replace }: { from: Place; to: Place; replace: boolean },
): Promise<void> {
  await device.makeTempDirectory();
  await (replace ? moveOnto : moveToFree)(from.path, to.path, device.tempPath());
}

/** As `moveToFree`: a directory takes the place of an empty one, and this one is ours. */
async function moveDirectoryToFree(from: string, to: string): Promise<void> {
  await mkdir(to, 0o755);
  try {
    await rename(from, to);
  } catch (error) {
    await rmdir(to).catch(() => {});
    throw error;
  }
}

function isPrivate(name: string): boolean {
  return name.startsWith('.');
}

/** What is known of the bytes of a file; undefined for what is no file, or when nothing is. */
async function knownDigests({ device, name, path }: Place) {
  const stats = await device.run(() => lstat(path));
  const known = stats.isFile() ? await device.digests.find(name, stats) : undefined;
  return known === undefined ? undefined : { stats, known };
}

/** Removes a directory that holds nothing but, perhaps, digests of files that are gone. */
async function removeDirectory({ device, name, path }: Place): Promise<void> {
  try {
    await device.run(() => rmdir(path));
  } catch (error) {
    if (errnoOf(error) !== 'ENOTEMPTY') throw error;
    const left = await device.run(() => readdir(path));
    if (left.some((entry) => entry !== digestLogName)) throw error;
    await device.digests.drop(name);
    await device.run(() => rmdir(path));
  }
  device.forgetPlaces();
}
