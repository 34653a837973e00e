/**
 * `scrub_status`: how far the nodes are with reading their devices again, and what they found. A
 * command of our own, which old clients never send. It asks the nodes, so it is always true.
 */
import { type Fields, type Finding, isTrue, OmgfsError, type ReplyFields } from '@omgfs/protocol';
import type { Device } from '../placement/model.ts';
import { scrubBytesPerSecond, scrubUrl } from '../topology/scrub-view.ts';
import { idOf } from './arguments.ts';
import type { Command } from './command.ts';
import type { CommandServices } from './services.ts';

const devicesAtOnce = 16;
const bytesPerMib = 1024 * 1024;

export function scrubCommands(services: CommandServices): Record<string, Command> {
  return { scrub_status: ({ args }) => status(services, args) };
}

/**
 * Argument: `device`, a devid; all without. Reply: `rate`, MiB a second or empty where nodes go by
 * their own options; `devices`, and for each `devN_` and what `describe` says.
 * @throws BAD_PARAMS, NO_DEVICE.
 */
async function status(services: CommandServices, args: Fields): Promise<ReplyFields> {
  const { topology } = services;
  const devices = devicesOf(services, args);
  const rate = scrubBytesPerSecond(topology);
  const fields: ReplyFields = {
    rate: rate === null ? '' : rate / bytesPerMib,
    devices: devices.length,
  };
  const waiting = [...devices.entries()];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
      const [index, device] = next;
      const one = await describe(services, device);
      for (const [name, value] of Object.entries(one)) fields[`dev${index + 1}_${name}`] = value;
    }
  };
  await Promise.all(Array.from({ length: devicesAtOnce }, worker));
  return fields;
}

function devicesOf({ topology }: CommandServices, args: Fields): Device[] {
  if (!isTrue(args.device)) {
    const living = [...topology.devices()].filter(({ status: state }) => state !== 'dead');
    return living.sort((a, b) => a.devid - b.devid);
  }
  const devid = idOf(args.device);
  if (devid === undefined || devid === 0) throw new OmgfsError('BAD_PARAMS');
  const device = topology.device(devid);
  if (device === undefined) throw new OmgfsError('NO_DEVICE');
  return [device];
}

async function describe(
  { topology, devices }: CommandServices,
  { devid, hostid, mbUsed }: Device,
): Promise<ReplyFields> {
  const host = topology.host(hostid)?.hostname ?? '';
  const url = scrubUrl(topology, devid);
  if (url === undefined || !topology.isReadable(devid)) {
    return { devid, host, state: 'unreachable', message: 'the device cannot be read now' };
  }
  const outcome = await devices.scrub(url, {});
  if (outcome.state === 'unwilling') {
    return { devid, host, state: 'none', message: `the node offers no scrub: ${outcome.reason}` };
  }
  if (outcome.state !== 'told') {
    return { devid, host, state: 'unreachable', message: outcome.reason };
  }
  const { bytesPerSecond, position, rounds, startedAt, totals, waiting } = outcome.answer;
  const leftBytes = Math.max(0, (mbUsed ?? 0) * bytesPerMib - totals.bytes);
  const isEtaKnown = bytesPerSecond > 0 && mbUsed !== null && position !== '';
  const last = [...outcome.answer.pending, ...outcome.answer.recent].sort((a, b) =>
    a.at < b.at ? 1 : -1,
  )[0];
  return {
    ...{ devid, host, state: bytesPerSecond > 0 ? 'on' : 'off' },
    ...{ bytes_per_second: bytesPerSecond, position, rounds, started: startedAt },
    ...{ files: totals.files, bytes: totals.bytes },
    ...{ verified: totals.verified, recorded: totals.recorded },
    eta_seconds: isEtaKnown ? Math.ceil(leftBytes / bytesPerSecond) : '',
    ...{ waiting, message: last === undefined ? '' : sentence(last) },
  };
}

function sentence({ name, kind, at, handled }: Finding): string {
  return `${name} was ${kind} at ${at}: ${handled ?? 'no other copy was verified yet'}`;
}
