/**
 * What the monitor asks of a device: its usage, whether it can be written, and whether it refuses a
 * PUT with a wrong Content-MD5 (spec §5.1). Pure questions: what follows from the answers is the
 * monitor's business.
 */
import type { Dispatcher } from 'undici';
import { type Directories, lacksDirectory } from './directories.ts';
import { call, isSuccess } from './http.ts';

/** Where a device is reached; bases have no trailing slash. */
export interface DevicePlace {
  devid: number;
  /** For example `http://10.0.0.7:7500`. */
  readBase: string;
  writeBase: string;
}

export interface Usage {
  state: 'read';
  totalKib: number;
  usedKib: number;
}

/** `refused`: the host answered, but not with a usage file; `unreachable`: it did not answer. */
export type UsageOutcome = Usage | { state: 'refused' | 'unreachable'; reason: string };

export interface ProbeContext {
  agent: Dispatcher;
  directories: Directories;
  deadlineMs: number;
}

/** Reads `/devN/usage`. */
export async function readUsage(
  { agent, deadlineMs }: ProbeContext,
  { devid, readBase }: DevicePlace,
): Promise<UsageOutcome> {
  const url = `${readBase}/dev${devid}/usage`;
  const reply = await call(agent, { method: 'GET', url, deadlineMs });
  if (!reply.answered) return { state: 'unreachable', reason: reply.reason };
  if (!isSuccess(reply.status)) {
    const said = reply.text.replace(/\s+/g, ' ').trim().slice(0, 200);
    const reason = `usage file answered ${reply.status}${said === '' ? '' : `: ${said}`}`;
    return { state: 'refused', reason };
  }
  const totalKib = Number(/^total:\s*(\d+)\s*$/m.exec(reply.text)?.[1] ?? 0);
  // The original takes 0 for missing; an empty file system really has nothing used.
  const usedKib = Number(/^used:\s*(\d+)\s*$/m.exec(reply.text)?.[1] ?? -1);
  if (totalKib > 0 && usedKib >= 0) return { state: 'read', totalKib, usedKib };
  return { state: 'refused', reason: 'usage file lacks used or total' };
}

/** Number of files the write test rotates through (spec §5.1). */
const testFiles = 100;

/**
 * Writes a small file and reads it back, twice at most. @returns why not, or undefined if it can.
 */
export async function findWriteFault(
  context: ProbeContext,
  place: DevicePlace,
): Promise<string | undefined> {
  const { agent, deadlineMs, directories } = context;
  const directory = `/dev${place.devid}/test-write/`;
  await directories.make(`${place.writeBase}${directory}`);
  let fault: string | undefined;
  for (let attempt = 0; attempt < 2; attempt += 1) {
    const path = `${directory}test-write-${Math.floor(Math.random() * testFiles)}`;
    const body = `time=${Date.now()} rand=${Math.random()}`;
    const url = `${place.writeBase}${path}`;
    const beganMs = performance.now();
    const put = await call(agent, { method: 'PUT', url, headers: bodyHeaders, body, deadlineMs });
    if (!put.answered) return `write test failed: ${put.reason}`;
    if (!isSuccess(put.status)) {
      fault = `write test answered ${put.status}`;
      if (lacksDirectory(put.status) && (await directories.makeAgain(url, beganMs))) continue;
      return fault;
    }
    const got = await call(agent, { method: 'GET', url: `${place.readBase}${path}`, deadlineMs });
    if (got.answered && isSuccess(got.status) && got.text === body) return undefined;
    fault = got.answered ? 'write test read back something else' : got.reason;
  }
  return fault;
}

const bodyHeaders = { 'content-type': 'application/octet-stream' };

/**
 * Whether the device refuses a PUT whose Content-MD5 is wrong; undefined when it did not answer.
 */
export async function refusesWrongMd5(
  { agent, deadlineMs }: ProbeContext,
  { devid, writeBase }: DevicePlace,
): Promise<boolean | undefined> {
  const wrong = Buffer.alloc(16).toString('base64');
  const reply = await call(agent, {
    method: 'PUT',
    url: `${writeBase}/dev${devid}/test-write/test-md5`,
    headers: { ...bodyHeaders, 'content-md5': wrong },
    body: '0',
    deadlineMs,
  });
  return reply.answered ? !isSuccess(reply.status) : undefined;
}
