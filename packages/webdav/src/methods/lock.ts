/** LOCK and UNLOCK (RFC 4918 §9.10, §9.11). */
import { type Call, checkLocks, mustHaveParent, sendStatus, sendXml } from '../context.ts';
import { DavError } from '../errors.ts';
import { lockXml } from '../live-properties.ts';
import { lockSecondsMax } from '../locks.ts';
import { childNamed, parseXml, writeXml } from '../xml.ts';

export async function lock(call: Call): Promise<void> {
  const { share, path, tokens, headers } = call;
  const { files, locks } = share;
  const seconds = secondsOf(headers.timeout?.toString());
  if (call.body.trim() === '') {
    const held = locks.covering(path).find(({ token }) => tokens.has(token));
    if (held === undefined)
      throw new DavError(412, 'The If header names no lock of this resource.');
    locks.refresh(held, seconds);
    return sendXml(call, 200, discovery(lockXml(held)));
  }
  const root = parseXml(call.body);
  const depth = (headers.depth ?? 'infinity').toString().toLowerCase();
  if (root.uri !== 'DAV:' || root.name !== 'lockinfo' || !['0', 'infinity'].includes(depth)) {
    throw new DavError(400, 'A lockinfo with Depth 0 or infinity is needed.');
  }
  const scope = childNamed(root, 'lockscope');
  const exclusive = childNamed(scope, 'exclusive') !== undefined;
  if (!exclusive && childNamed(scope, 'shared') === undefined) {
    throw new DavError(400, 'The lock scope is exclusive or shared.');
  }
  const owner = childNamed(root, 'owner');
  const before = await files.stat(path);
  if (before === undefined) {
    await mustHaveParent(share, path);
    checkLocks(share, tokens, path, { member: true });
  }
  const made = locks.add({
    root: path,
    deep: depth === 'infinity',
    exclusive,
    owner: owner === undefined ? '' : writeXml(owner),
    seconds,
  });
  try {
    if (before === undefined) await files.createEmpty(path);
  } catch (error) {
    locks.remove(made.token);
    throw error;
  }
  sendXml(call, before === undefined ? 201 : 200, discovery(lockXml(made)), {
    'Lock-Token': `<${made.token}>`,
  });
}

export async function unlock(call: Call): Promise<void> {
  const { locks } = call.share;
  const token = /^\s*<([^<>\s]+)>\s*$/.exec(call.headers['lock-token']?.toString() ?? '')?.[1];
  if (token === undefined) throw new DavError(400, 'A Lock-Token header is needed.');
  if (!locks.covering(call.path).some((held) => held.token === token)) {
    throw new DavError(409, 'That lock does not hold here.', 'lock-token-matches-request-uri');
  }
  locks.remove(token);
  sendStatus(call, 204);
}

function secondsOf(header: string | undefined): number {
  const asked = Number(/Second-(\d{1,10})/i.exec(header ?? '')?.[1] ?? lockSecondsMax);
  return Math.min(Math.max(asked, 1), lockSecondsMax);
}

function discovery(xml: string): string {
  return `<D:prop xmlns:D="DAV:"><D:lockdiscovery>${xml}</D:lockdiscovery></D:prop>`;
}
