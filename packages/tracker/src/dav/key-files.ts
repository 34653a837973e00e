/**
 * The keys of all domains as a file system for WebDAV: `/dav/<domain>/…`. It does everything by the
 * commands that clients use, so nothing here is visible half done, and any other tracker shows the
 * same. Folders are what keys begin with; an empty one is kept by a marker (docs/dav-share.md).
 */
import { type ErrorCode, OmgfsError } from '@omgfs/protocol';
import type { DavEntry, FileFacts as DavFacts, DavFileSystem } from '@omgfs/webdav';
import type { FileFacts, FilePlace } from '../files/file-facts.ts';
import type { FileStore } from '../files/file-store.ts';
import { factsOf, folderFacts, isMarker, listFolder } from './folder.ts';
import { isNameable, type Place, placeOf, twinName } from './names.ts';

type Inside = Extract<Place, { kind: 'inside' }>;

const fixedFacts: DavFacts = { ...folderFacts, fixed: true };

export class KeyFiles implements DavFileSystem {
  readonly #files: FileStore;

  constructor(files: FileStore) {
    this.#files = files;
  }

  async stat(path: string): Promise<DavFacts | undefined> {
    const place = placeOf(path);
    if (place === undefined) return undefined;
    if (place.kind === 'above') return fixedFacts;
    const { prefix } = place;
    if (prefix === '') return (await this.#hasDomain(place.domain)) ? fixedFacts : undefined;
    const [isFolder, file] = await Promise.all([
      this.#isFolder(place, prefix ?? `${place.key}/`),
      this.#find(place),
    ]);
    if (isFolder && prefix !== undefined) return folderFacts;
    // The file of a folder's own name has a place in the folder only while there is one.
    if (file === undefined || isFolder !== (prefix === undefined)) return undefined;
    return file.key.endsWith('/') && isMarker(file, file.key) ? undefined : factsOf(file);
  }

  async *list(path: string): AsyncGenerator<DavEntry> {
    const place = placeOf(path);
    if (place?.kind === 'above') {
      const names = place.path === '/' ? ['dav'] : await this.#files.domains();
      for (const name of names) if (isNameable(name)) yield { name, facts: fixedFacts };
    } else if (place?.prefix !== undefined) {
      const { domain, prefix } = place;
      const twin = prefix === '' ? undefined : await this.#find(place);
      if (twin !== undefined) yield { name: twinName, facts: factsOf(twin) };
      yield* listFolder(this.#files, { domain, prefix });
    }
  }

  async makeCollection(path: string): Promise<void> {
    await this.#putEmpty(markerOf(insideOf(path)));
  }

  async createEmpty(path: string): Promise<void> {
    await this.#putEmpty(filePlaceOf(path));
  }

  /** A folder is gone with what makes it one: its members, and its marker. */
  async remove(path: string, kind: DavFacts['kind']): Promise<void> {
    const place = insideOf(path);
    if (kind === 'file') return this.#removeKey(filePlaceOf(path));
    const marker = markerOf(place);
    const file = await this.#find(marker);
    if (file !== undefined && isMarker(file, marker.key)) await this.#removeKey(marker);
  }

  async move(
    from: string,
    to: string,
    { kind, replace }: { kind: DavFacts['kind']; replace: boolean },
  ): Promise<void> {
    const [source, target] = [insideOf(from), insideOf(to)];
    const { domain } = source;
    if (domain !== target.domain) {
      const message = 'MOVE does not lead from one domain to another; use COPY and DELETE.';
      throw new OmgfsError('BAD_REQUEST', { message });
    }
    if (kind === 'file') {
      const [one, two] = [filePlaceOf(from), filePlaceOf(to)];
      const request = { domain, from: one.key, to: two.key, overwrite: replace };
      return this.#files.rename(request).catch(taken);
    }
    const keys = { from: markerOf(source).key, to: markerOf(target).key };
    await this.#files.renamePrefix({ domain, ...keys }).catch(taken);
    // It is shown in the folder. Should we end before, it is a file beside it again.
    await this.#files
      .rename({ domain, from: source.key, to: target.key })
      .catch(unless('UNKNOWN_KEY'));
  }

  async copyFile(
    from: string,
    to: string,
    { replace, signal }: { replace: boolean; signal: AbortSignal },
  ): Promise<void> {
    const target = filePlaceOf(to);
    const { facts, stream } = await this.#files.withFile(filePlaceOf(from), async (found) => {
      const opened = await this.#files.open(found, { signal });
      return opened && { facts: found, stream: opened };
    });
    const { length, contentType, filename, metadata } = facts;
    const isSame = facts.domain === target.domain;
    await this.#files.put(target, stream, {
      length,
      ...(contentType === undefined ? {} : { contentType }),
      ...(filename === undefined ? {} : { filename }),
      ...(metadata === undefined ? {} : { metadata }),
      ...(isSame && facts.class !== 'default' ? { class: facts.class } : {}),
      ...(replace ? {} : { replacing: 0 }),
    });
  }

  async #hasDomain(domain: string): Promise<boolean> {
    const page = await this.#files.list(domain, { limit: 1 }).catch(unless('UNREG_DOMAIN'));
    return page !== undefined;
  }

  async #isFolder({ domain }: Inside, prefix: string): Promise<boolean> {
    const request = this.#files.list(domain, { prefix, limit: 1 });
    const page = await request.catch(unless('UNREG_DOMAIN'));
    return page !== undefined && (page.files.length > 0 || page.after !== undefined);
  }

  async #find({ domain, key }: FilePlace): Promise<FileFacts | undefined> {
    if (key === '') return undefined;
    return this.#files.stat({ domain, key }).catch(unless('UNKNOWN_KEY', 'UNREG_DOMAIN'));
  }

  /** Never in place of a file that came in between. */
  async #putEmpty(place: FilePlace): Promise<void> {
    await this.#files.put(place, nothing(), { length: 0, replacing: 0 });
  }

  /** What another has removed meanwhile is removed. */
  async #removeKey(place: FilePlace): Promise<void> {
    await this.#files.remove(place).catch(unless('UNKNOWN_KEY'));
  }
}

/**
 * The key of the file at a path of the share.
 * @throws PATH_FORBIDDEN where no file can be.
 */
export function filePlaceOf(path: string): FilePlace {
  const { domain, key } = insideOf(path);
  if (key !== '') return { domain, key };
  throw new OmgfsError('PATH_FORBIDDEN', { message: `${path} can be no file.` });
}

/** @throws PATH_FORBIDDEN where no folder can be. */
function markerOf({ domain, prefix }: Inside): FilePlace {
  if (prefix !== undefined && prefix !== '') return { domain, key: prefix };
  throw new OmgfsError('PATH_FORBIDDEN', { message: 'Domains are made by the operator.' });
}

/** @throws PATH_FORBIDDEN outside of domains. */
function insideOf(path: string): Inside {
  const place = placeOf(path);
  if (place?.kind === 'inside') return place;
  const message = `${path} can be neither file nor folder; addresses are /dav/<domain>/<key>.`;
  throw new OmgfsError('PATH_FORBIDDEN', { message });
}

/** For `catch`: somebody was faster, after it was found that the name is free. */
function taken(error: unknown): never {
  if (!(error instanceof OmgfsError) || error.code !== 'KEY_EXISTS') throw error;
  throw new OmgfsError('PRECONDITION_FAILED', { message: 'The destination exists.', cause: error });
}

/** For `catch`: undefined instead of these errors. */
function unless(...codes: ErrorCode[]): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof OmgfsError && codes.includes(error.code)) return undefined;
    throw error;
  };
}

async function* nothing(): AsyncGenerator<Uint8Array> {}
