/** The words of the side channel (spec §8.3): one line in, one reply out, never a rejection. */
import { type HashType, hashTypes } from '@omgfs/protocol';
import type { Devices } from '../device/devices.ts';
import { closeNow } from '../device/files.ts';
import { openFile } from '../device/reader.ts';
import { parseReadTarget } from '../http/path.ts';
import type { Digests } from './digests.ts';

export interface SideCommands {
  devices: Devices;
  digests: Digests;
  startedAtMs: number;
  /** An operator asked for a stop. */
  onShutdown: (how: 'now' | 'graceful') => void;
}

/** `watch` takes the connection over; a text is the reply; undefined is none. */
export type SideReply = string | 'watch' | undefined;

/** Who asks: `aborted` says whether it has gone, `mayStop` whether it may stop the node. */
export interface Asker {
  aborted: () => boolean;
  mayStop: boolean;
}

export async function answer(
  commands: SideCommands,
  line: string,
  { aborted, mayStop }: Asker,
): Promise<SideReply> {
  const [word = '', argument = '', reason] = line.trim().split(/ +/);
  if (word === '') return undefined;
  if (word.toLowerCase() === 'watch') return 'watch';
  if (word === 'size' || Object.hasOwn(hashTypes, word)) {
    if (argument.includes('..')) return 'ERROR: uri invalid (contains ..)\r\n';
    if (word === 'size') return `${argument} ${await sizeOf(commands, argument)}\r\n`;
    const background = reason === 'fsck';
    return digestOf(commands, { type: word as HashType, uri: argument, background, aborted });
  }
  if (word.toLowerCase() === 'shutdown' && !mayStop) {
    return 'ERROR: shutdown is for this machine only where URLs are signed\r\n';
  }
  return manage(commands, word.toLowerCase(), argument.toLowerCase());
}

async function sizeOf({ devices }: SideCommands, uri: string): Promise<number> {
  try {
    const place = placeOf(uri);
    const device = await devices.find(place.devid);
    device.assertReadable();
    const { fd, stats } = await openFile(device, place.name);
    closeNow(fd);
    return stats.isFile() ? stats.size : -1;
  } catch {
    return -1;
  }
}

async function digestOf(
  { digests }: SideCommands,
  request: { type: HashType; uri: string; background: boolean; aborted: () => boolean },
): Promise<string> {
  const { type, uri, background, aborted } = request;
  let place: ReturnType<typeof placeOf>;
  try {
    place = placeOf(uri);
  } catch {
    return `${uri} ${type}=-1\r\n`;
  }
  const outcome = await digests.digest({ ...place, type, background, aborted });
  if (outcome.state === 'failed') return `ERR read ${uri} at ${outcome.offset} failed\r\n`;
  return `${uri} ${type}=${outcome.state === 'present' ? outcome.hex : '-1'}\r\n`;
}

/** @throws OmgfsError for what names no file of a device. */
function placeOf(uri: string): { devid: number; name: string } {
  const target = parseReadTarget(uri);
  if (target.kind === 'device') return target;
  throw new Error(`${uri} names no file of a device`);
}

/** What the management interface of the original answers to tools. */
function manage(commands: SideCommands, word: string, argument: string): string | undefined {
  switch (word) {
    case 'shutdown':
      commands.onShutdown(argument === 'graceful' ? 'graceful' : 'now');
      return undefined;
    case 'uptime': {
      const seconds = Math.floor((performance.now() - commands.startedAtMs) / 1000);
      return `uptime: ${seconds}\r\n.\r\n`;
    }
    case 'version':
      return 'omgfs storage node\r\n.\r\n';
    case 'states':
      return `${stateLines(commands.devices)}.\r\n`;
    default:
      return `ERROR: unknown command: ${word}\r\n`;
  }
}

function stateLines(devices: Devices): string {
  return devices
    .all()
    .map((device) => `dev${device.devid} ${device.state}\r\n`)
    .join('');
}
