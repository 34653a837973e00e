/** Whether a replica is really there and right, asked of the device itself (I2). */
import type { Checksum } from '@omgfs/protocol';
import type { DeviceClient } from '../../devices/device-client.ts';

/**
 * Checks a replica by its length, or where a checksum is known by reading all of it.
 * @returns what is wrong, in words, or undefined when nothing is.
 */
export async function findReplicaFault(
  devices: DeviceClient,
  replica: { url: string; length: number; checksum: Checksum | undefined; signal?: AbortSignal },
): Promise<string | undefined> {
  const { url, length, checksum, signal } = replica;
  if (checksum === undefined) {
    const size = await devices.size(url);
    if (size.state === 'unreachable') return size.reason;
    if (size.state === 'missing') return 'the file is missing';
    return lengthFault(size.bytes, length);
  }
  const digest = await devices.digest(url, checksum.type, signal ? { signal } : {});
  if (digest.state === 'unreachable' || digest.state === 'unreadable') return digest.reason;
  if (digest.state === 'missing') return 'the file is missing';
  if (digest.hex === checksum.hex) return lengthFault(digest.bytes, length);
  return `has ${checksum.type} ${digest.hex} instead of ${checksum.hex}`;
}

function lengthFault(bytes: number, length: number): string | undefined {
  return bytes === length ? undefined : `has ${bytes} bytes instead of ${length}`;
}
