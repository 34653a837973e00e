/** MKCOL: trackers make directories with it before a PUT, although a PUT makes them too. */

import { OmgfsError } from '@omgfs/protocol';
import type { Devices } from '../device/devices.ts';
import { parseWriteTarget } from '../http/path.ts';
import { type Exchange, sendEmpty } from '../http/reply.ts';

/**
 * Makes a directory and those above it, durably, and answers 201.
 * @throws METHOD_NOT_ALLOWED when it is there (RFC 4918 §9.3.1), INVALID_PATH, PATH_FORBIDDEN,
 * PATH_CONFLICT, NO_DEVICE, DEVICE_REFUSED, DEVICE_FULL, BAD_REQUEST, errors of the system.
 */
export async function handleMkcol(
  { devices }: { devices: Devices },
  { req, res, target }: Exchange,
): Promise<void> {
  const { devid, name } = parseWriteTarget(target);
  if ((req.headers['content-length'] ?? '0') !== '0' || req.headers['transfer-encoding']) {
    throw new OmgfsError('BAD_REQUEST', { message: 'MKCOL with a body is not understood.' });
  }
  const device = await devices.find(devid);
  device.assertWritable();
  if (name === '' || !(await device.directories.ensure(name))) {
    throw new OmgfsError('METHOD_NOT_ALLOWED', { message: 'The directory exists already.' });
  }
  sendEmpty(res, 201);
}
