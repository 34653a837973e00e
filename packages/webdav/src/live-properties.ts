/** The properties that the server computes (RFC 4918 §15). */
import type { FileFacts } from './file-system.ts';
import type { Lock, Locks } from './locks.ts';
import { hrefOf } from './path.ts';
import { escapeXml } from './xml.ts';

type Compute = (facts: FileFacts, path: string, locks: Locks) => string | undefined;

const scopes = ['exclusive', 'shared'].map(
  (scope) =>
    `<D:lockentry><D:lockscope><D:${scope}/></D:lockscope>` +
    '<D:locktype><D:write/></D:locktype></D:lockentry>',
);

/** Values as XML with `D:` for DAV:, by name; undefined where a resource has none. */
export const liveProperties: ReadonlyMap<string, Compute> = new Map<string, Compute>([
  ['resourcetype', ({ kind }) => (kind === 'collection' ? '<D:collection/>' : '')],
  ['getcontentlength', ({ kind, bytes }) => (kind === 'file' ? String(bytes) : undefined)],
  ['getlastmodified', ({ modified }) => modified?.toUTCString()],
  ['creationdate', ({ created }) => created?.toISOString()],
  ['getetag', ({ etag }) => (etag === undefined ? undefined : escapeXml(etag))],
  [
    'getcontenttype',
    ({ kind, contentType }) => (kind === 'file' ? typeOf(contentType) : undefined),
  ],
  ['displayname', (_facts, path) => escapeXml(textOf(path.slice(path.lastIndexOf('/') + 1)))],
  ['supportedlock', () => scopes.join('')],
  ['lockdiscovery', (_facts, path, locks) => locks.covering(path).map(lockXml).join('')],
]);

function typeOf(contentType = 'application/octet-stream'): string {
  return escapeXml(contentType);
}

/** A name to be read; bytes that are no UTF-8 become replacement characters. */
function textOf(name: string): string {
  return Buffer.from(name, 'latin1').toString('utf8');
}

export function lockXml(lock: Lock): string {
  return (
    '<D:activelock><D:locktype><D:write/></D:locktype>' +
    `<D:lockscope><D:${lock.exclusive ? 'exclusive' : 'shared'}/></D:lockscope>` +
    `<D:depth>${lock.deep ? 'infinity' : '0'}</D:depth>${lock.owner}` +
    `<D:timeout>Second-${lock.seconds}</D:timeout>` +
    `<D:locktoken><D:href>${lock.token}</D:href></D:locktoken>` +
    `<D:lockroot><D:href>${hrefOf(lock.root, false)}</D:href></D:lockroot></D:activelock>`
  );
}
