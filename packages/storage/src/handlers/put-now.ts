/**
 * PUTs of small files to a busy device that syncs nothing, without a wait before its thread has
 * them and without anything else that can be left out. What is not certain to be of this kind goes
 * the ordinary way (see handlePut), and so does what the thread fails at.
 */
import type { IncomingHttpHeaders } from 'node:http';
import type { Devices } from '../device/devices.ts';
import { storeNow } from '../device/writer.ts';
import type { NowPut } from '../http/front.ts';
import { plainPlace } from '../http/path.ts';
import { headEnd, headStart } from '../http/plain-head.ts';
import { serverHeader } from '../http/reply.ts';

/**
 * Stores the body of a plain PUT, if that can be begun at once.
 * @param done is called later; with the answer, or without one when the ordinary way has to do it.
 */
export function putNow(
  { devices }: { devices: Devices },
  { head: { method, target, headers }, body }: NowPut,
  done: (answer: Buffer | undefined) => void,
): boolean {
  const place = method === 'PUT' && !asksForMore(headers) ? plainPlace(target) : undefined;
  const device = place === undefined ? undefined : devices.findReady(place.devid);
  if (device === undefined || place === undefined) return false;
  return storeNow(device, place.name, body, (stored) => done(stored ? storedAnswer() : undefined));
}

/** Whether there is something to check, or to say in the answer. */
function asksForMore(headers: IncomingHttpHeaders): boolean {
  return (
    headers['content-md5'] !== undefined ||
    headers['content-digest'] !== undefined ||
    headers['repr-digest'] !== undefined ||
    headers['want-repr-digest'] !== undefined
  );
}

const start = headStart(200, { ...serverHeader, 'Content-Length': 0 });
let end = '';
let answer = Buffer.alloc(0);

/** Made again when the date in it changes. */
function storedAnswer(): Buffer {
  const now = headEnd();
  if (now !== end) {
    end = now;
    answer = Buffer.from(start + end, 'latin1');
  }
  return answer;
}
