/** Goal: no XML body makes an answer that is much longer than itself. Method: text, parsed. */
import { expect, test } from 'vitest';
import { elementsOf, emptyXml, parseXml } from '../src/xml.ts';

const refused = expect.objectContaining({ status: 400 });

function thrownBy(text: string): unknown {
  try {
    return parseXml(text).name;
  } catch (error) {
    return error;
  }
}

test.each([
  ['of elements', `<p xmlns="${'A'.repeat(240_000)}">${'<a/>'.repeat(1990)}</p>`],
  ['of prefixes', `<p xmlns:x="${'A'.repeat(240_000)}">${'<x:a/>'.repeat(1990)}</p>`],
  ['of attributes', `<p xmlns:x="${'A'.repeat(2000)}" x:y="1"/>`],
  ['repeated a thousand times', `<p xmlns="${'A'.repeat(1000)}">${'<a/>'.repeat(1990)}</p>`],
  [
    'on attributes of all elements',
    `<p xmlns:x="${'A'.repeat(1000)}">${'<a x:y=""/>'.repeat(500)}</p>`,
  ],
])('a long namespace %s is refused', (_, text) => {
  expect(thrownBy(text)).toEqual(refused);
});

test('many properties of a namespace of usual length are taken', () => {
  const root = parseXml(`<p xmlns="http://example.com/schemas/photos">${'<a/>'.repeat(1990)}</p>`);
  const answer = elementsOf(root).map(emptyXml).join('');
  expect([elementsOf(root).length, answer.length < 256 * 1024]).toEqual([1990, true]);
});
