/**
 * What `create_close` can do beyond the original, each by an argument that old clients never send:
 * record an upload on several devices (`devid_2`, `path_2` and so on), answer when `replicas` of
 * them have the file or `wait` seconds passed, store only in the place of a certain file
 * (`replacing`), keep what the client says of the file (`described`), be what becomes of an upload
 * in parts, once (`upload`), and see to copies that may have been left on other devices (`left`).
 */
import { setTimeout as delay } from 'node:timers/promises';
import { type Fields, limits, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { DescriptionRow } from '../store/description-store.ts';
import { fidLock } from '../store/fid-lock.ts';
import type { Store } from '../store/store.ts';
import type { Topology } from '../topology/topology.ts';
import { idOf } from './arguments.ts';
import { descriptionArguments } from './description.ts';
import type { OpenUpload } from './open-uploads.ts';
import type { CommandServices } from './services.ts';

export interface CloseExtras {
  /** Further places that the client wrote the file to. */
  others: readonly { devid: number; path: string }[];
  /** Copies to wait for, and how long. */
  replicas: number | undefined;
  waitMs: number;
  replacing: number | undefined;
  /** Id of the upload in parts that becomes this file. */
  upload: string | undefined;
  description: Omit<DescriptionRow, 'fid'> | undefined;
  /** Devices that the client wrote to without being told how it ended. */
  left: readonly number[];
}

/** How long a close waits for copies; the file is stored by then whatever comes. */
const waitSecondsDefault = 10;
const waitSecondsMax = 60;
/** A first copy takes milliseconds; while none can be made, a thousand closes must not ask on. */
const lookMs = { first: 50, most: 1_000, growth: 1.5 };
const replicasMax = 10;

/** @throws BOGUS_ARGS, BAD_PARAMS. */
export function closeExtras(
  topology: Topology,
  close: { args: Fields; address: string; fid: number },
): CloseExtras {
  const { args } = close;
  const { replicas, replacing, wait } = args;
  const wanted = replicas === undefined ? undefined : idOf(replicas);
  if (replicas !== undefined && !(wanted !== undefined && wanted <= replicasMax)) {
    throw new OmgfsError('BAD_PARAMS', { message: `replicas is 0 to ${replicasMax}.` });
  }
  const waitSeconds = wait === undefined ? waitSecondsDefault : idOf(wait);
  if (waitSeconds === undefined || waitSeconds > waitSecondsMax) {
    throw new OmgfsError('BAD_PARAMS', { message: `wait is 0 to ${waitSecondsMax} seconds.` });
  }
  const replaced = replacing === undefined ? undefined : idOf(replacing);
  if (replacing !== undefined && replaced === undefined) {
    throw new OmgfsError('BAD_PARAMS', { message: 'replacing is a fid, or 0 for none.' });
  }
  return {
    others: otherPlaces(topology, close),
    replicas: wanted,
    waitMs: waitSeconds * 1000,
    replacing: replaced,
    upload: args.upload,
    description: descriptionArguments(args),
    left: (args.left ?? '').split(' ').flatMap((devid) => idOf(devid) ?? []),
  };
}

function otherPlaces(
  topology: Topology,
  { args, address, fid }: { args: Fields; address: string; fid: number },
): { devid: number; path: string }[] {
  const places: { devid: number; path: string }[] = [];
  for (let number = 2; number <= limits.openDestinationsMax; number += 1) {
    const given = args[`path_${number}`];
    if (given === undefined) continue;
    const devid = idOf(args[`devid_${number}`]);
    const path = given.replace(/\?.*$/s, '');
    const expected =
      devid === undefined
        ? undefined
        : topology.writeUrl({ devid, fid }, { address, zone: args.zone });
    if (devid === undefined || path !== expected) throw new OmgfsError('BOGUS_ARGS');
    places.push({ devid, path });
  }
  return places;
}

interface OtherPlaces {
  /** Devices that show the file. */
  good: number[];
  /** Places that show something else. */
  wrong: { devid: number; path: string }[];
  /** Devices that did not answer. */
  silent: number[];
}

/** Looks at the further places. */
export async function verifiedOthers(
  { devices }: CommandServices,
  { others, devid: first }: { others: CloseExtras['others']; devid: number },
  { tempfile, length }: { tempfile: OpenUpload; length: number },
): Promise<OtherPlaces> {
  const known = new Map(others.map((place) => [place.devid, place]));
  const offered = [...known.values()].filter(({ devid }) => {
    return devid !== first && tempfile.devids.includes(devid);
  });
  const found: OtherPlaces = { good: [], wrong: [], silent: [] };
  await Promise.all(
    offered.map(async (place) => {
      const size = await devices.size(place.path);
      if (size.state === 'unreachable') found.silent.push(place.devid);
      if (size.state !== 'present') return;
      if (size.bytes === length) found.good.push(place.devid);
      else found.wrong.push(place);
    }),
  );
  return found;
}

/**
 * Removes what no row of the database knows. Only afterwards: before, another close of the upload
 * might have made it a replica, and without the lock the replicator might do so. It is looked at
 * again, because the lock holds on one node of Galera, and another may show rows late.
 */
export async function removeWrong(
  { store, devices }: CommandServices,
  { fid, wrong, length }: { fid: number; length: number } & Pick<OtherPlaces, 'wrong'>,
): Promise<void> {
  if (wrong.length === 0) return;
  await store.withLock(fidLock(fid), async (lost) => {
    const replicas = (await store.replicasOf([fid])).get(fid) ?? [];
    for (const { devid, path } of wrong) {
      if (replicas.includes(devid)) continue;
      const size = await devices.size(path);
      if (lost.aborted || size.state !== 'present' || size.bytes === length) continue;
      await devices.remove(path);
    }
  });
}

/**
 * Notes where copies may have been left, so that they go unless they become replicas. Before the
 * close: a tracker that ends right after it has noted them.
 */
export async function noteStrays(
  { strays }: Store,
  { fid, left, silent }: { fid: number } & Pick<CloseExtras, 'left'> & Pick<OtherPlaces, 'silent'>,
  { tempfile, holders }: { tempfile: OpenUpload; holders: readonly number[] },
): Promise<void> {
  const devids = tempfile.devids.filter((devid) => {
    return (left.includes(devid) || silent.includes(devid)) && !holders.includes(devid);
  });
  if (devids.length === 0) return;
  try {
    await strays.add(devids.map((devid) => ({ fid, devid })));
  } catch (error) {
    // Without the right to make the table they stay, as with MogileFS, until strays are looked for.
    if (!(error instanceof OmgfsError) || error.code !== 'FAILURE') throw error;
  }
}

/**
 * Writes the description before the file is seen, so that nobody sees the one without the other.
 * @throws FAILURE when there is something to keep and no table for it.
 */
export async function describe(
  { descriptions }: Store,
  { fid, description }: { fid: number; description: CloseExtras['description'] },
): Promise<void> {
  if (description === undefined) return;
  try {
    await descriptions.write({ fid, ...description });
  } catch (error) {
    const says = Object.values(description).some((value) => value !== undefined);
    // Without the right to make the table, files are stored as MogileFS stores them.
    if (!(error instanceof OmgfsError) || error.code !== 'FAILURE') throw error;
    if (!says) return;
    const message = `What is said of a file cannot be kept, it needs a table: ${error.message}`;
    throw new OmgfsError('FAILURE', { message, cause: error });
  }
}

/** @throws NO_TEMP_FILE for an upload in parts that is unknown, or of another key. */
export async function checkUpload(
  { uploads }: Store,
  { upload, dmid, dkey }: { upload: string | undefined; dmid: number; dkey: string },
): Promise<void> {
  if (upload === undefined) return;
  const found = await uploads.find(upload);
  if (found?.dmid !== dmid || found.dkey !== dkey) throw new OmgfsError('NO_TEMP_FILE');
}

/** Waits until enough devices have the file, or for as long as a client can be kept waiting. */
export async function waitForReplicas(
  store: Pick<Store, 'replicasOf'>,
  { fid, replicas = 0, waitMs }: { fid: number } & Pick<CloseExtras, 'replicas' | 'waitMs'>,
): Promise<ReplyFields> {
  const deadline = performance.now() + waitMs;
  for (let restMs = lookMs.first; ; restMs = Math.min(lookMs.most, restMs * lookMs.growth)) {
    const count = (await store.replicasOf([fid])).get(fid)?.length ?? 0;
    const leftMs = deadline - performance.now();
    if (count >= replicas || leftMs <= 0) return { devcount: count };
    await delay(Math.min(restMs, leftMs));
  }
}
