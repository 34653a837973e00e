/** PROPPATCH: all changes or none (RFC 4918 §9.2). */
import { type Call, checkLocks, mustExist, sendXml } from '../context.ts';
import { DavError } from '../errors.ts';
import { liveProperties } from '../live-properties.ts';
import { hrefOf } from '../path.ts';
import { childNamed, elementsOf, emptyXml, parseXml, writeXml } from '../xml.ts';
import { propstat } from './propfind.ts';

export async function proppatch(call: Call): Promise<void> {
  const { share, path } = call;
  const root = parseXml(call.body);
  if (root.uri !== 'DAV:' || root.name !== 'propertyupdate') {
    throw new DavError(400, 'The body is no propertyupdate.');
  }
  const { kind } = await mustExist(call);
  checkLocks(share, call.tokens, path, {});
  const changed = new Map(share.properties.get(path));
  const results: { xml: string; fixed: boolean }[] = [];
  for (const action of elementsOf(root)) {
    if (action.uri !== 'DAV:' || !['set', 'remove'].includes(action.name)) continue;
    for (const property of elementsOf(childNamed(action, 'prop'))) {
      const { uri, name } = property;
      const fixed = uri === 'DAV:' && liveProperties.has(name);
      results.push({ xml: emptyXml(property), fixed });
      if (action.name === 'set') changed.set(`{${uri}}${name}`, writeXml(property));
      else changed.delete(`{${uri}}${name}`);
    }
  }
  const refused = results.some(({ fixed }) => fixed);
  if (!refused) share.properties.set(path, changed);
  const stats = results.map(({ xml, fixed }) => {
    const status = fixed ? '403 Forbidden' : refused ? '424 Failed Dependency' : '200 OK';
    return propstat(xml, status);
  });
  const href = `<D:href>${hrefOf(path, kind === 'collection')}</D:href>`;
  const body = stats.length > 0 ? stats.join('') : propstat('', '200 OK');
  const response = `<D:response>${href}${body}</D:response>`;
  sendXml(call, 207, `<D:multistatus xmlns:D="DAV:">${response}</D:multistatus>`);
}
