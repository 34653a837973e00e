/**
 * Compares what the database says with what is on the devices, and, if asked, with what clients
 * were told (a manifest) and with what lies in device directories. It changes nothing and needs
 * only the line protocol and the storage nodes, so it judges trackers of MogileFS as well.
 */
import type { Admin } from '@omgfs/client';
import { type Fields, listOf, parseChecksum } from '@omgfs/protocol';
import { inParallel } from '../tree.ts';
import { type Finding, finding } from './findings.ts';
import type { ReplicaReader } from './replica-reader.ts';

export interface VerifyOptions {
  /** Read every replica whose checksum is known. */
  checksums: boolean;
  /** Files looked at once. */
  concurrency: number;
  onFinding: (finding: Finding) => void;
  /** Called with how many files were looked at. */
  onProgress: (files: number) => void;
  signal: AbortSignal;
}

const pageFids = 500;

/** Looks at every file. @returns how many there were. */
export async function verifyFiles(
  { admin, reader }: { admin: Admin; reader: ReplicaReader },
  options: VerifyOptions,
): Promise<number> {
  const wanted = await copiesWanted(admin);
  let files = 0;
  for (let after = 0; ; ) {
    options.signal.throwIfAborted();
    const reply = await admin.call('list_fids', { from: after, to: pageFids });
    const page = listOf(reply, { prefix: 'fid_', total: reply.fid_count });
    if (page.length === 0) return files;
    await inParallel(page, { concurrency: options.concurrency }, async (row) => {
      options.signal.throwIfAborted();
      const found = await verifyFile({ admin, reader }, { row, wanted, ...options });
      for (const one of found) options.onFinding(one);
      options.onProgress(1);
    });
    files += page.length;
    after = Math.max(...page.map(({ fid }) => Number(fid)));
  }
}

/** Copies that each class wants, by domain and name of the class. */
async function copiesWanted(admin: Admin): Promise<Map<string, number>> {
  const domains = await admin.domains();
  return new Map(
    domains.flatMap(({ name, classes }) =>
      classes.map((one) => [`${name}\0${one.name}`, one.mindevcount] as const),
    ),
  );
}

interface FileCheck {
  row: Fields;
  wanted: ReadonlyMap<string, number>;
  checksums: boolean;
}

/**
 * A cluster in use moves and deletes between the look into the database and the one at the devices:
 * what seems wrong is looked at once more.
 */
async function verifyFile(
  parts: { admin: Admin; reader: ReplicaReader },
  check: FileCheck,
): Promise<Finding[]> {
  const found = await lookAt(parts, check);
  return found.some(({ severity }) => severity === 'bad') ? lookAt(parts, check) : found;
}

async function lookAt(
  { admin, reader }: { admin: Admin; reader: ReplicaReader },
  { row, wanted, checksums }: FileCheck,
): Promise<Finding[]> {
  const fid = Number(row.fid);
  const debug = await admin.call('file_debug', { fid });
  // Deleted or replaced since it was listed.
  if (debug.fid_fid === undefined) return [];
  const where = { fid, domain: row.domain ?? null, key: row.key ?? null };
  const found: Finding[] = [];
  const devids = (debug.devids ?? '').split(',').filter((part) => part !== '');
  const checksum = checksums ? parseChecksum(debug.checksum ?? '') : undefined;
  let good = 0;
  let untold = 0;
  for (const devid of devids) {
    const place = { ...where, devid: Number(devid) };
    const url = debug[`devpath_${devid}`];
    if (url === undefined) {
      found.push(finding('unreachable', `dev${devid} belongs to no host`, place));
      untold += 1;
      continue;
    }
    const seen = checksum ? await reader.digest(url, checksum.type) : await reader.size(url);
    if (seen.state === 'missing') found.push(finding('missing', `not on dev${devid}`, place));
    else if (seen.state === 'unreachable') {
      found.push(finding('unreachable', `dev${devid}: ${seen.reason}`, place));
      untold += 1;
    } else if (seen.bytes !== Number(row.length)) {
      const detail = `${seen.bytes} bytes on dev${devid} instead of ${row.length}`;
      found.push(finding('wrong_length', detail, place));
    } else if (checksum !== undefined && seen.hex !== checksum.hex) {
      const detail = `${checksum.type}:${seen.hex} on dev${devid} instead of ${checksum.hex}`;
      found.push(finding('wrong_checksum', detail, place));
    } else good += 1;
  }
  return [...found, ...judgeCopies({ good, untold, debug, where, wanted, row })];
}

function judgeCopies(facts: {
  good: number;
  untold: number;
  debug: Fields;
  where: { fid: number; domain: string | null; key: string | null };
  wanted: ReadonlyMap<string, number>;
  row: Fields;
}): Finding[] {
  const { good, untold, debug, where, wanted, row } = facts;
  const copies = wanted.get(`${row.domain}\0${row.class}`) ?? 1;
  const found: Finding[] = [];
  if (good + untold === 0) {
    found.push(finding('no_copy', 'no device has it whole', where));
  } else if (good + untold < copies) {
    found.push(fewCopies(`${good + untold} of ${copies} copies`, debug, where));
  }
  const listed = (debug.devids ?? '').split(',').filter((part) => part !== '').length;
  if (Number(debug.fid_devcount) !== listed) {
    const detail = `its row counts ${debug.fid_devcount} copies, ${listed} are listed`;
    found.push(finding('wrong_count', detail, where));
  }
  return found;
}

/** A file that was stored, or lost a device, a moment ago has its turn still to come. */
function fewCopies(
  count: string,
  debug: Fields,
  where: { fid: number; domain: string | null; key: string | null },
): Finding {
  if (debug.replqueue_fid === undefined) {
    return finding('too_few_copies', `${count}; it does not wait for replication`, where);
  }
  const failures = Number(debug.replqueue_failcount);
  if (failures === 0) return finding('copies_waiting', `${count}; it waits for replication`, where);
  const detail = `${count}; it waits for replication, after ${failures} failures`;
  return finding('too_few_copies', detail, where);
}
