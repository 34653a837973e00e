/** XML bodies: namespaces resolved, no DOCTYPE, bounded; and how they are written. */
import { SaxesParser } from 'saxes';
import { DavError } from './errors.ts';

export interface Element {
  uri: string;
  name: string;
  attributes: readonly { uri: string; prefix: string; name: string; value: string }[];
  children: (Element | string)[];
}

const depthMax = 32;
const elementsMax = 2000;
const uriLengthMax = 1024;
/**
 * Characters of all names with their namespaces. One declaration serves every element in it, but
 * an answer repeats it for each of them.
 */
const namesLengthMax = 256 * 1024;

/** @throws DavError 400 unless the text is one well-formed document within the bounds. */
export function parseXml(text: string): Element {
  const root: Element = { uri: '', name: '', attributes: [], children: [] };
  const open = [root];
  let elements = 0;
  let namesLength = 0;
  const parser = new SaxesParser({ xmlns: true });
  const refuse = (reason: string): never => {
    throw new DavError(400, `The XML body is refused: ${reason}.`);
  };
  const add = (child: Element | string) => open.at(-1)?.children.push(child);
  parser.on('error', (error) => refuse(error.message));
  parser.on('doctype', () => refuse('a DOCTYPE is not accepted'));
  parser.on('opentag', (tag) => {
    elements += 1;
    if (elements > elementsMax || open.length > depthMax) refuse('it is too large');
    const attributes = Object.values(tag.attributes);
    for (const { uri, local } of [tag, ...attributes]) {
      namesLength += uri.length + local.length;
      if (uri.length > uriLengthMax) refuse('the name of a namespace is too long');
      if (namesLength > namesLengthMax) refuse('its names are too long');
    }
    // XML names 1.0 has no way to undo a prefix; litmus sends it to see it refused.
    if (attributes.some(({ prefix, value }) => prefix === 'xmlns' && value === '')) {
      refuse('a prefix is bound to nothing');
    }
    const element: Element = {
      uri: tag.uri,
      name: tag.local,
      attributes: attributes
        .filter(({ prefix, name }) => prefix !== 'xmlns' && name !== 'xmlns')
        .map(({ uri, prefix, local, value }) => ({ uri, prefix, name: local, value })),
      children: [],
    };
    add(element);
    open.push(element);
  });
  parser.on('text', add);
  parser.on('cdata', add);
  parser.on('closetag', () => {
    open.pop();
  });
  parser.write(text).close();
  const [document] = elementsOf(root);
  return document ?? refuse('it is empty');
}

export function elementsOf(element: Element | undefined): Element[] {
  return (element?.children ?? []).filter((child) => typeof child !== 'string');
}

/** The first child of that name in the DAV: namespace. */
export function childNamed(element: Element | undefined, name: string): Element | undefined {
  return elementsOf(element).find((child) => child.uri === 'DAV:' && child.name === name);
}

export function escapeXml(text: string): string {
  // What XML 1.0 cannot carry at all, from names on the disk, becomes a replacement character.
  return text
    .replace(/[^\t\n\r\u{20}-\u{d7ff}\u{e000}-\u{fffd}\u{10000}-\u{10ffff}]/gu, '\u{fffd}')
    .replace(/[&<>"\r]/g, (character) => `&#${character.charCodeAt(0)};`);
}

/** An element by itself, whatever surrounds it. */
export function writeXml(node: Element | string): string {
  if (typeof node === 'string') return escapeXml(node);
  const attributes = node.attributes.map(({ uri, prefix, name, value }, index) => {
    if (prefix === 'xml') return ` xml:${name}="${escapeXml(value)}"`;
    if (uri === '') return ` ${name}="${escapeXml(value)}"`;
    return ` xmlns:a${index}="${escapeXml(uri)}" a${index}:${name}="${escapeXml(value)}"`;
  });
  const head = `${node.name} xmlns="${escapeXml(node.uri)}"${attributes.join('')}`;
  return `<${head}>${node.children.map(writeXml).join('')}</${node.name}>`;
}

export function emptyXml({ uri, name }: { uri: string; name: string }): string {
  return `<${name} xmlns="${escapeXml(uri)}"/>`;
}
