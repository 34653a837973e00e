/**
 * Looks at one device as the monitor does in each sweep (spec §5.1): usage always, the write test
 * now and then. What it finds is a value; it changes nothing.
 */
import type { DeviceClient } from '../../devices/device-client.ts';
import type { DevicePlace } from '../../devices/probes.ts';
import { type Device, deviceRules, type Host, hostRules } from '../../placement/model.ts';

export interface DeviceFinding {
  state: 'writeable' | 'readable' | 'unreachable';
  /** What is wrong, in words; undefined when the state is the one its status asks for. */
  reason: string | undefined;
  /** The host answered something. */
  hostAnswered: boolean;
  usage: { mbTotal: number; mbUsed: number } | undefined;
  /** The device was written to in this look and passed. */
  passedWriteTest: boolean;
  /** Undefined when it was not tried. */
  rejectBadMd5: boolean | undefined;
}

export interface DeviceCheckRequest {
  host: Host;
  device: Device;
  /** The device passed a write test a moment ago. */
  skipWriteTest: boolean;
}

const kibPerMb = 1024;

/** Never throws; takes a few deadlines of the client at most. */
export async function checkDevice(
  devices: DeviceClient,
  { host, device, skipWriteTest }: DeviceCheckRequest,
): Promise<DeviceFinding> {
  const place = placeOf(host, device);
  const outcome = await devices.readUsage(place);
  const finding: DeviceFinding = {
    state: 'unreachable',
    reason: outcome.state === 'read' ? undefined : outcome.reason,
    hostAnswered: outcome.state !== 'unreachable',
    usage: undefined,
    passedWriteTest: false,
    rejectBadMd5: undefined,
  };
  if (outcome.state !== 'read') return finding;
  finding.usage = {
    mbTotal: Math.floor(outcome.totalKib / kibPerMb),
    mbUsed: Math.floor(outcome.usedKib / kibPerMb),
  };
  finding.state = 'readable';
  if (!hostRules[host.status].write || !deviceRules[device.status].write) return finding;
  if (!skipWriteTest) {
    finding.reason = await devices.findWriteFault(place);
    if (finding.reason !== undefined) return finding;
    finding.passedWriteTest = true;
    finding.rejectBadMd5 = await devices.refusesWrongMd5(place);
  }
  finding.state = 'writeable';
  return finding;
}

/** The monitor always uses the main address (spec §4.2). */
function placeOf(host: Host, { devid }: Device): DevicePlace {
  const { hostip, httpPort, httpGetPort } = host;
  return {
    devid,
    readBase: `http://${hostip}:${httpGetPort || httpPort}`,
    writeBase: `http://${hostip}:${httpPort}`,
  };
}
