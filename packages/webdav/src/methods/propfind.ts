/** PROPFIND: streamed, so that a large collection costs no memory; never deeper than one level. */
import { once } from 'node:events';
import { type Call, mustExist, xmlHead, xmlType } from '../context.ts';
import { DavError } from '../errors.ts';
import type { FileFacts } from '../file-system.ts';
import { liveProperties } from '../live-properties.ts';
import { childOf, hrefOf } from '../path.ts';
import { childNamed, elementsOf, emptyXml, parseXml } from '../xml.ts';

type Wanted =
  | { kind: 'all' }
  | { kind: 'names' }
  | { kind: 'some'; names: readonly { uri: string; name: string }[] };

export async function propfind(call: Call): Promise<void> {
  const { share, path, headers, res, signal } = call;
  const depth = (headers.depth ?? 'infinity').toString().toLowerCase();
  if (!['0', '1', 'infinity'].includes(depth)) throw new DavError(400, 'Depth is 0 or 1.');
  const wanted = parseWanted(call.body);
  const facts = await mustExist(call);
  if (depth === 'infinity') {
    throw new DavError(403, 'Ask with Depth 0 or 1.', 'propfind-finite-depth');
  }
  res.writeHead(207, xmlType);
  res.write(`${xmlHead}<D:multistatus xmlns:D="DAV:">${describe(call, path, facts, wanted)}`);
  if (depth === '1' && facts.kind === 'collection') {
    for await (const { name, facts: known } of share.files.list(path)) {
      signal.throwIfAborted();
      const child = childOf(path, name);
      const found = known ?? (await share.files.stat(child));
      if (found === undefined) continue;
      if (!res.write(describe(call, child, found, wanted))) await once(res, 'drain', { signal });
    }
  }
  res.write('</D:multistatus>');
}

function parseWanted(body: string): Wanted {
  if (body.trim() === '') return { kind: 'all' };
  const root = parseXml(body);
  if (root.uri === 'DAV:' && root.name === 'propfind') {
    if (childNamed(root, 'propname')) return { kind: 'names' };
    if (childNamed(root, 'allprop')) return { kind: 'all' };
    const prop = childNamed(root, 'prop');
    // Each once: a long value that is asked for a thousand times is told once.
    const names = new Map(elementsOf(prop).map((one) => [`{${one.uri}}${one.name}`, one]));
    if (prop) return { kind: 'some', names: [...names.values()] };
  }
  throw new DavError(400, 'The body is no propfind.');
}

function describe(call: Call, path: string, facts: FileFacts, wanted: Wanted): string {
  const { locks, properties } = call.share;
  const dead = properties.get(path);
  const found: string[] = [];
  const missing: string[] = [];
  const live = (name: string) => liveProperties.get(name)?.(facts, path, locks);
  if (wanted.kind === 'some') {
    for (const property of wanted.names) {
      const { uri, name } = property;
      const value = uri === 'DAV:' ? live(name) : undefined;
      const text =
        value === undefined ? dead.get(`{${uri}}${name}`) : `<D:${name}>${value}</D:${name}>`;
      if (text === undefined) missing.push(emptyXml(property));
      else found.push(text);
    }
  } else {
    for (const name of liveProperties.keys()) {
      const value = live(name);
      if (value === undefined) continue;
      found.push(wanted.kind === 'names' ? `<D:${name}/>` : `<D:${name}>${value}</D:${name}>`);
    }
    for (const [key, value] of dead) {
      const end = key.lastIndexOf('}');
      const name = emptyXml({ uri: key.slice(1, end), name: key.slice(end + 1) });
      found.push(wanted.kind === 'names' ? name : value);
    }
  }
  const href = hrefOf(path, facts.kind === 'collection');
  const parts = [
    found.length > 0 || missing.length === 0 ? propstat(found.join(''), '200 OK') : '',
    missing.length > 0 ? propstat(missing.join(''), '404 Not Found') : '',
  ];
  return `<D:response><D:href>${href}</D:href>${parts.join('')}</D:response>`;
}

export function propstat(properties: string, status: string): string {
  const line = `<D:status>HTTP/1.1 ${status}</D:status>`;
  return `<D:propstat><D:prop>${properties}</D:prop>${line}</D:propstat>`;
}
