/** What the system thinks of one file and plans for it, in sentences. */
import { formatChecksum } from '@omgfs/protocol';
import type { Note } from '../../store/note-store.ts';
import {
  endOfTime,
  type FidRecords,
  type QueuedWork,
  type ReplicationRow,
} from '../../store/store.ts';
import type { CommandServices } from '../services.ts';
import { obstacleOf } from './explain-class.ts';
import { describeDevice } from './explain-device.ts';
import { queuedReason } from './wait-reasons.ts';

/** One paragraph: its first line is the verdict. */
export function explainFile(
  { topology, verdictOn }: Pick<CommandServices, 'topology' | 'verdictOn'>,
  about: { fid: number; records: FidRecords; notes: readonly Note[]; nowSeconds: number },
): string[] {
  const { fid, records, notes, nowSeconds } = about;
  const waiting = queueLines(records, notes, nowSeconds);
  const { file, tempfile, devids, checksum } = records;
  if (file === undefined) return [...unnamed(fid, records), ...waiting];
  const fileClass = topology.classOf(file.dmid, file.classid);
  const domain = topology.domainById(file.dmid);
  const verdict = verdictOn(file);
  const lines = [
    `fid ${fid} is the file of the key '${file.dkey}' in ${
      domain === undefined ? `a domain that is gone (${file.dmid})` : `the domain '${domain.name}'`
    }: ${file.length} bytes, class '${fileClass.name}'.`,
    `Its class wants ${fileClass.mindevcount} copies by ${
      fileClass.replpolicy || 'MultipleHosts()'
    }; it has ${devids.length}.`,
  ];
  for (const devid of devids) lines.push(`- dev${devid}: ${describeDevice(topology, devid)}`);
  if (fileClass.hashtype !== null || checksum !== undefined) {
    const kept = checksum === undefined ? 'none is kept yet' : formatChecksum(checksum);
    lines.push(`Checksum: ${kept}.`);
  }
  if (file.devcount !== devids.length) {
    lines.push(`Its row counts ${file.devcount} copies; fsck corrects that.`);
  }
  switch (verdict.verdict) {
    case 'met':
      lines.push(metText(obstacleOf({ topology, verdictOn }, fileClass)));
      break;
    case 'over':
      lines.push(
        'It has more copies than the policy wants; one is removed after the others are verified.',
      );
      break;
    case 'short': {
      const targets = verdict.ideal.length > 0 ? verdict.ideal : verdict.desperate;
      const note = verdict.ideal.length > 0 ? '' : ' (none of them is ideal)';
      lines.push(
        targets.length === 0
          ? 'The policy wants another copy, and no device can take one now.'
          : `The policy wants another copy, on dev${targets.slice(0, 5).join(', dev')}${note}.`,
      );
      break;
    }
    case 'undecided':
      lines.push(`The policy cannot be followed now: ${verdict.reason}.`);
  }
  if (verdict.verdict !== 'met' && records.replication === undefined) {
    lines.push('It does not wait for replication: `replicate` is enqueued by fsck or updateclass.');
  }
  const scrubbed = notes.find(({ job }) => job === 'scrub');
  if (scrubbed !== undefined) {
    const ago = Math.max(0, nowSeconds - scrubbed.utime);
    lines.push(`The scrub of a node found ${ago} s ago: ${scrubbed.reason}.`);
  }
  if (tempfile !== undefined) lines.push('An upload with this number is open as well.');
  return [...lines, ...waiting];
}

/** A policy is content with what there is, even if its class asks for more (spec §6.3). */
function metText(obstacle: string | undefined): string {
  return obstacle === undefined
    ? 'The policy is met.'
    : `The policy is met as far as it can be: ${obstacle}.`;
}

function unnamed(fid: number, { tempfile, devids, deletion }: FidRecords): string[] {
  if (tempfile !== undefined) {
    return [
      `fid ${fid} is an upload that was opened and not closed, for the key '${tempfile.dkey}'.`,
      `It was offered dev${tempfile.devids.join(', dev')}; it is given up when it is too old.`,
    ];
  }
  if (deletion !== undefined) {
    return [`fid ${fid} is deleted; its replicas on ${devids.length} devices are being removed.`];
  }
  if (devids.length > 0) {
    return [`fid ${fid} has no key, and replicas on dev${devids.join(', dev')} nobody refers to.`];
  }
  return [`Nothing is known of fid ${fid}: it was never stored, or its deletion is complete.`];
}

function queueLines(records: FidRecords, notes: readonly Note[], nowSeconds: number): string[] {
  const { replication, deletion, fsck, rebalance } = records;
  const waits = (queue: string, row: Pick<ReplicationRow, 'nexttry' | 'failcount'>) => {
    const failures = row.failcount === 0 ? '' : `, after ${row.failcount} failures`;
    return `It waits for ${queue}: ${whenText(row.nexttry, nowSeconds)}${failures}.`;
  };
  const noted = (job: Note['job']) => {
    const note = notes.find((one) => one.job === job);
    if (note === undefined) return [];
    const ago = Math.max(0, nowSeconds - note.utime);
    return [`The last attempt failed ${ago} s ago: ${note.reason}.`];
  };
  const kept = (row: QueuedWork, isMove: boolean) => {
    const reason = queuedReason(row, isMove);
    return reason === undefined ? [] : [`The last attempt failed: ${reason}.`];
  };
  return [
    ...(replication ? [waits('replication', replication), ...noted('replicate')] : []),
    ...(deletion ? [waits('deletion', deletion), ...noted('delete')] : []),
    ...(fsck ? [waits('fsck', fsck), ...kept(fsck, false)] : []),
    ...(rebalance ? [waits('rebalance', rebalance), ...kept(rebalance, true)] : []),
  ];
}

function whenText(nexttry: number, nowSeconds: number): string {
  if (nexttry >= endOfTime) return 'until somebody enqueues it again';
  if (nexttry <= nowSeconds) return 'it is due now';
  return `the next attempt is in ${nexttry - nowSeconds} s`;
}
