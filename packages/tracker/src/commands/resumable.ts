/**
 * Uploads in parts, which can be resumed at any tracker: `upload_create`, `upload_info`,
 * `upload_length`, `upload_part`, `upload_claim`, `upload_renew`, `upload_finish`,
 * `upload_remove`, and `renew_upload` for one that takes its time. Commands of ours. A part is
 * opened by `create_open`, written, and then made part of the upload by `upload_part` instead of
 * being closed; the whole is put together by whoever sent the last part, and closed with `upload`.
 */
import { randomBytes } from 'node:crypto';
import { type Fields, isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { FoundUpload, UploadPart } from '../store/upload-store.ts';
import { checkKeyLength, domainOf, idOf, keyOf, requiredArg } from './arguments.ts';
import type { Command } from './command.ts';
import { describedFields, descriptionArguments } from './description.ts';
import type { CommandServices } from './services.ts';

const idBytes = 16;
/** Each is a row and a file. */
const partsMax = 10_000;
/** Each is a transaction. */
const givenUpAtOnce = 16;
/** How long a tracker that puts a file together may be silent before another does. */
const leaseSeconds = 30;

export function resumableCommands(services: CommandServices): Record<string, Command> {
  const { store } = services;
  return {
    upload_create: create(services),
    upload_info: info(services),
    upload_part: part(services),
    upload_length: async ({ args }) => {
      const { id, bytes } = await uploadOf(services, args);
      const length = bytesOf(args.length);
      if (length < bytes) {
        const message = `The upload has ${bytes} bytes already, more than ${length}.`;
        throw new OmgfsError('BAD_PARAMS', { message });
      }
      if (await store.uploads.setLength({ id, length })) return {};
      throw new OmgfsError('BAD_PARAMS', { message: 'The upload has a length already.' });
    },
    upload_claim: async ({ args }) => {
      const { id } = await uploadOf(services, args);
      return { claimed: (await store.uploads.claim({ id, leaseSeconds })) ? 1 : 0 };
    },
    upload_renew: async ({ args }) => {
      const { id } = await uploadOf(services, args);
      await store.uploads.renew({ id, leaseSeconds: isTrue(args.release) ? 0 : leaseSeconds });
      return {};
    },
    renew_upload: async ({ args }) => {
      const fid = idOf(requiredArg(args, 'fid', 'NO_FID')) ?? 0;
      await store.uploads.renewTempfile(fid);
      return {};
    },
    // The parts of one that became a file; the file may be one of them.
    upload_finish: async ({ args }) => {
      const { id, fid } = await uploadOf(services, args);
      if (fid === 0) throw new OmgfsError('BAD_PARAMS', { message: 'The upload goes on.' });
      const parts = await store.uploads.parts(id);
      await giveUp(
        services,
        parts.filter((one) => one.fid !== fid),
      );
      await store.uploads.forgetParts(id);
      return {};
    },
    upload_remove: async ({ args }) => {
      const { id } = await uploadOf(services, args);
      const parts = await store.uploads.parts(id);
      await store.uploads.remove(id);
      await giveUp(services, parts);
      return {};
    },
  };
}

function create({ store, topology, resumeSeconds }: CommandServices): Command {
  return async ({ args }) => {
    const domain = domainOf(topology, args);
    const dkey = checkKeyLength(keyOf(args));
    const className = args.class ?? '';
    if (className !== '' && !domain.classes.has(className)) throw new OmgfsError('UNREG_CLASS');
    const length = args.length === undefined ? undefined : bytesOf(args.length);
    const said = descriptionArguments({ ...args, described: '1' });
    const { contentType, filename, metadata } = said ?? {};
    const id = randomBytes(idBytes).toString('hex');
    await store.uploads.create(
      { id, dmid: domain.dmid, dkey, className, length, contentType, filename, metadata },
      { ttlSeconds: resumeSeconds },
    );
    return { id };
  };
}

/** Its parts are told to who asks for them with `parts`: that costs more the more there are. */
function info(services: CommandServices): Command {
  return async ({ args, address }) => {
    const upload = await uploadOf(services, args);
    const { id, bytes, length, dkey, className, fid, expires } = upload;
    const parts = isTrue(args.parts) ? await services.store.uploads.parts(id) : [];
    return {
      ...{ key: dkey, class: className, fid, expires, bytes },
      ...(length === undefined ? {} : { length }),
      offset: fid === 0 ? bytes : length,
      ...partFields(services, parts, { address, zone: args.zone }),
      ...describedFields(upload),
    };
  };
}

function partFields(
  { topology, signUrl }: CommandServices,
  parts: readonly UploadPart[],
  client: { address: string; zone: string | undefined },
): ReplyFields {
  const fields: ReplyFields = { part_count: parts.length };
  for (const [at, { start, length, fid, devids }] of parts.entries()) {
    const paths = devids.map((devid) => topology.writeUrl({ devid, fid }, client) ?? '-');
    const urls = devids.flatMap((devid) => topology.readUrl({ devid, fid }, client) ?? []);
    const all = {
      ...{ start, length, fid },
      devids: devids.join(' '),
      paths: paths.join(' '),
      urls: urls.map((url) => signUrl('GET', url)).join(' '),
    };
    for (const [name, value] of Object.entries(all)) fields[`part_${at + 1}_${name}`] = value;
  }
  return fields;
}

/** Verifies on its devices that a part is there, and adds it at the end of the upload. */
function part(services: CommandServices): Command {
  const { store, topology, devices, resumeSeconds, tempfileAgeSeconds } = services;
  return async ({ args, address }) => {
    const upload = await uploadOf(services, args);
    const fid = idOf(args.fid);
    const named = (args.devids ?? '').split(' ').map(idOf);
    if (fid === undefined) throw new OmgfsError('BOGUS_ARGS');
    const [start, length] = [bytesOf(args.start), bytesOf(args.size)];
    const tempfile = await store.findTempfile(fid);
    if (tempfile === undefined) throw new OmgfsError('NO_TEMP_FILE');
    const devids = tempfile.devids.filter((devid) => named.includes(devid));
    if (devids.length === 0) throw new OmgfsError('INVALID_DESTDEV');
    const shown = await Promise.all(
      devids.map(async (devid) => {
        const path = topology.writeUrl({ devid, fid }, { address, zone: args.zone });
        const size = path === undefined ? undefined : await devices.size(path);
        return size?.state === 'present' && size.bytes === length ? [devid] : [];
      }),
    );
    const holders = shown.flat();
    if (holders.length === 0) {
      const message = `The part ${fid} is not there whole on any of the devices ${devids}.`;
      throw new OmgfsError('SIZE_VERIFY_ERROR', { message });
    }
    const outcome = await store.uploads.addPart(
      { id: upload.id, part: { start, fid, devids: holders, length } },
      { ttlSeconds: resumeSeconds, tempfileAgeSeconds, partsMax },
    );
    if (outcome === 'too_many') {
      const message = `The upload has ${partsMax} parts already; begin again with larger ones.`;
      throw new OmgfsError('BAD_PARAMS', { message });
    }
    if (outcome === 'unknown') throw new OmgfsError('NO_TEMP_FILE');
    if (outcome === 'other_offset') throw new OmgfsError('OFFSET_MISMATCH');
    return {};
  };
}

/** @throws NO_TEMP_FILE for what is unknown, expired, or in another domain. */
async function uploadOf({ store, topology }: CommandServices, args: Fields): Promise<FoundUpload> {
  const { dmid } = domainOf(topology, args);
  const upload = await store.uploads.find(args.id ?? '');
  if (upload === undefined || upload.dmid !== dmid) throw new OmgfsError('NO_TEMP_FILE');
  return upload;
}

/** Hands parts that are not needed any more to the delete job. */
async function giveUp(
  { store, wakeDelete }: CommandServices,
  parts: readonly UploadPart[],
): Promise<void> {
  const giveUpOne = async ({ fid }: UploadPart) => {
    // Whatever it was offered: bytes may be where they were not seen.
    const tempfile = await store.findTempfile(fid);
    if (tempfile !== undefined) await store.abandonTempfile({ fid, devids: tempfile.devids });
  };
  for (let at = 0; at < parts.length; at += givenUpAtOnce) {
    await Promise.all(parts.slice(at, at + givenUpAtOnce).map(giveUpOne));
  }
  wakeDelete();
}

function bytesOf(text: string | undefined): number {
  const bytes = idOf(text);
  if (bytes !== undefined) return bytes;
  throw new OmgfsError('BAD_PARAMS', { message: `'${text ?? ''}' is no number of bytes.` });
}
