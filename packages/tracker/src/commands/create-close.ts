/**
 * `create_close` (spec §2.6): makes an upload the current file of its key. The bytes are verified
 * on the device first; then one transaction does the rest, so that a crash before it leaves the
 * upload open and harmless, and a crash after it leaves it stored (I1, I3).
 */
import {
  type Checksum,
  type Fields,
  isTrue,
  OmgfsError,
  parseChecksum,
  type ReplyFields,
} from '@omgfs/protocol';
import type { FileClass } from '../placement/model.ts';
import type { FileWithReplicas } from '../store/store.ts';
import { checkKeyLength, domainOf, idOf, numberOf, requiredArg } from './arguments.ts';
import {
  type CloseExtras,
  checkUpload,
  closeExtras,
  describe,
  noteStrays,
  removeWrong,
  verifiedOthers,
  waitForReplicas,
} from './close-extras.ts';
import type { Command, CommandRequest } from './command.ts';
import type { OpenUpload, OpenUploads } from './open-uploads.ts';
import type { CommandServices } from './services.ts';

interface CloseArguments extends CloseExtras {
  dmid: number;
  dkey: string;
  fid: number;
  devid: number;
  path: string;
  /** Undefined when the client did not say (spec §2.6: 0 does not count). */
  announcedBytes: number | undefined;
  checksum: Checksum | undefined;
  verifyChecksum: boolean;
}

export function createClose(services: CommandServices, opened: OpenUploads): Command {
  const { store, lookups, topology, wakeReplicate, wakeDelete } = services;
  return async (request): Promise<ReplyFields> => {
    const close = closeArguments(services, request);
    const tempfile = opened.take(close.fid) ?? (await store.findTempfile(close.fid));
    if (tempfile === undefined) throw new OmgfsError('NO_TEMP_FILE');
    await checkUpload(store, close);
    const length = await orAbandon(services, close, tempfile, () =>
      verifiedLength(services, close),
    );
    if (length === undefined) {
      wakeDelete();
      return {};
    }
    const others = await verifiedOthers(services, close, { tempfile, length });
    const { good, wrong, silent } = others;
    const holders = [close.devid, ...good];
    await noteStrays(store, { ...close, silent }, { tempfile, holders });
    await describe(store, close);
    const fileClass = topology.classOf(close.dmid, tempfile.classid);
    lookups.wrote(close);
    const { fid, dmid, dkey } = close;
    const file = { fid, dmid, dkey, classid: tempfile.classid, length, devids: holders };
    const content = isEnough(services, file);
    const outcome = await store.closeTempfile({
      ...file,
      // This tracker's picture of the class may be seconds old, so the transaction looks at it.
      replicate: content ? fileClass : true,
      ...keptChecksum(close, fileClass),
      replacing: close.replacing,
      upload: close.upload,
    });
    if (outcome === 'no_temp_file' || outcome === 'no_upload') throw new OmgfsError('NO_TEMP_FILE');
    if (outcome === 'unreg_domain') throw new OmgfsError('UNREG_DOMAIN');
    if (outcome === 'fid_exists') throw new OmgfsError('FID_EXISTS');
    if (outcome === 'other_file') throw new OmgfsError('PRECONDITION_FAILED');
    // Where the client did not say how long the file is, nobody knows which of them is wrong.
    if (close.announcedBytes !== undefined) {
      await removeWrong(services, { fid: close.fid, wrong, length }).catch(() => {});
    }
    if (!content) wakeReplicate();
    return close.replicas === undefined ? {} : waitForReplicas(store, close);
  };
}

/** Checks what needs no database, in the order that clients observe. */
function closeArguments({ topology }: CommandServices, request: CommandRequest): CloseArguments {
  const { args, address } = request;
  const { dmid } = domainOf(topology, args);
  const fid = idOf(requiredArg(args, 'fid', 'NO_FID'));
  const devid = idOf(requiredArg(args, 'devid', 'NO_DEVID'));
  // A signature is for the storage node; a client sends back what it got.
  const path = requiredArg(args, 'path', 'NO_PATH').replace(/\?.*$/s, '');
  const checksum = checksumOf(args);
  const expected =
    fid === undefined || devid === undefined
      ? undefined
      : topology.writeUrl({ devid, fid }, { address, zone: args.zone });
  if (fid === undefined || devid === undefined || path !== expected) {
    throw new OmgfsError('BOGUS_ARGS');
  }
  return {
    dmid,
    dkey: checkKeyLength(args.key ?? ''),
    fid,
    devid,
    path,
    announcedBytes: isTrue(args.size) ? numberOf(args.size) : undefined,
    checksum,
    verifyChecksum: isTrue(args.checksumverify),
    ...closeExtras(topology, { args, address, fid }),
  };
}

function checksumOf(args: Fields): Checksum | undefined {
  if (!isTrue(args.checksum)) return undefined;
  const checksum = parseChecksum(args.checksum ?? '');
  if (checksum === undefined) throw new OmgfsError('INVALID_CHECKSUM');
  return checksum;
}

/**
 * Runs the verification; when it refuses the upload, or the client gave it up by an empty key, the
 * upload is handed to the delete job, so that its bytes go away. What is part of an upload in
 * parts was acknowledged, so it stays.
 * @returns undefined when the client gave the upload up.
 */
async function orAbandon(
  { store, wakeDelete }: CommandServices,
  { fid, dkey, devid, upload }: CloseArguments,
  tempfile: OpenUpload,
  verify: () => Promise<number>,
): Promise<number | undefined> {
  let refusal: unknown;
  try {
    checkDestination(devid, tempfile);
    if (dkey !== '') return await verify();
  } catch (error) {
    if (upload !== undefined) throw error;
    refusal = error;
  }
  const devids = [...new Set([...tempfile.devids, devid])];
  const claimed = await store.abandonTempfile({ fid, devids });
  wakeDelete();
  if (refusal !== undefined) throw refusal;
  if (!claimed) throw new OmgfsError('NO_TEMP_FILE');
  return undefined;
}

/** @throws INVALID_DESTDEV. */
function checkDestination(devid: number, { devids }: OpenUpload): void {
  if (devids.includes(devid)) return;
  const wireText = `Invalid destination device; valid devices: ${devids.join(', ')}`;
  throw new OmgfsError('INVALID_DESTDEV', { wireText });
}

/** @throws SIZE_VERIFY_ERROR, SIZE_MISMATCH, CHECKSUM_MISMATCH. */
async function verifiedLength(
  { devices }: CommandServices,
  close: CloseArguments,
): Promise<number> {
  const size = await devices.size(close.path);
  if (size.state !== 'present') {
    const reason = size.state === 'missing' ? 'missing' : `cantreach (${size.reason})`;
    throw new OmgfsError('SIZE_VERIFY_ERROR', { wireText: sizes(close, `0 (${reason})`) });
  }
  if (close.announcedBytes !== undefined && size.bytes !== close.announcedBytes) {
    throw new OmgfsError('SIZE_MISMATCH', { wireText: sizes(close, size.bytes) });
  }
  if (close.checksum !== undefined && close.verifyChecksum) {
    await verifyChecksum(devices, { path: close.path, checksum: close.checksum });
  }
  return size.bytes;
}

/** The text that tools parse (spec §2.8). */
function sizes(close: CloseArguments, actual: string | number): string {
  return `Expected: ${close.announcedBytes ?? 0}; actual: ${actual}; path: ${close.path}`;
}

async function verifyChecksum(
  devices: CommandServices['devices'],
  { path, checksum }: { path: string; checksum: Checksum },
): Promise<void> {
  const digest = await devices.digest(path, checksum.type);
  const actual = digest.state === 'present' ? digest.hex : 'unknown';
  if (actual === checksum.hex) return;
  const { type, hex } = checksum;
  const wireText = `Expected: ${type}:${hex}; actual: ${type}:${actual}; path: ${path}`;
  throw new OmgfsError('CHECKSUM_MISMATCH', { wireText });
}

/** Whether the file has all the replicas that its class wants. */
function isEnough(
  { topology, verdictOn }: CommandServices,
  file: Omit<FileWithReplicas, 'devcount'>,
): boolean {
  const devcount = file.devids.length;
  if (devcount < topology.classOf(file.dmid, file.classid).mindevcount) return false;
  return verdictOn({ ...file, devcount }).verdict === 'met';
}

/** A checksum is kept only when the class keeps that kind (spec §2.6 step 9). */
function keptChecksum(close: CloseArguments, fileClass: FileClass): { checksum?: Checksum } {
  const { checksum } = close;
  return checksum !== undefined && checksum.type === fileClass.hashtype ? { checksum } : {};
}
