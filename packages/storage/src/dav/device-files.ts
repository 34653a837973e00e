/**
 * The devices as a file system for WebDAV: `/devN/...`. Every change goes through the checks of
 * identity, space and links, and is durable; the node's own names are neither seen nor changed.
 */
import { constants, opendir } from 'node:fs';
import { open as openHandle } from 'node:fs/promises';
import { promisify } from 'node:util';
import { fromByteString, OmgfsError, toByteString } from '@omgfs/protocol';
import type { DavEntry, DavFileSystem, FileFacts } from '@omgfs/webdav';
import type { Device } from '../device/device.ts';
import type { Devices } from '../device/devices.ts';
import { parentOf } from '../device/directories.ts';
import { errnoOf, lstat, rename, rmdir, unlink, writeFully } from '../device/files.ts';
import { storeFile } from '../device/writer.ts';
import { etagOf } from '../handlers/get.ts';
import { devidOf } from '../http/path.ts';

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
    const entries = await place.device.run(() => openDirectory(place.path));
    for await (const { name } of entries) {
      if (isPrivate(name) || (place.name === '' && reserved.includes(name))) continue;
      yield { name: toByteString(name) };
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
    await storeFile(device, name, async () => {});
  }

  async remove(path: string): Promise<void> {
    const place = await this.#writable(path);
    const { device } = place;
    if ((await device.run(() => lstat(place.path))).isDirectory()) {
      await device.run(() => rmdir(place.path));
      device.directories.forget();
    } else {
      await device.run(() => unlink(place.path));
    }
  }

  async move(from: string, to: string): Promise<void> {
    const source = await this.#writable(from);
    const target = await this.#writable(to);
    const { device } = source;
    if (device !== target.device) {
      throw new OmgfsError('BAD_REQUEST', {
        message: 'MOVE does not lead from one device to another; use COPY and DELETE.',
      });
    }
    await device.run(() => rename(source.path, target.path));
    device.directories.forget();
    await device.directories.sync(parentOf(target.name));
    await device.directories.sync(parentOf(source.name));
  }

  async copyFile(from: string, to: string, signal: AbortSignal): Promise<void> {
    const source = await this.#mustPlace(from);
    const { device, name } = await this.#writable(to);
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW;
    const input = await openHandle(source.path, flags);
    try {
      const { size } = await input.stat();
      const claim = device.space.claim(size, { exempt: false });
      try {
        const buffer = Buffer.allocUnsafe(copyChunkBytes);
        await storeFile(device, name, async (fd) => {
          for (;;) {
            signal.throwIfAborted();
            const { bytesRead } = await input.read(buffer, 0, buffer.length, null);
            if (bytesRead === 0) return;
            claim.use(bytesRead);
            await writeFully(fd, buffer.subarray(0, bytesRead));
          }
        });
      } finally {
        claim.release();
      }
    } finally {
      await input.close();
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

function isPrivate(name: string): boolean {
  return name.startsWith('.');
}
