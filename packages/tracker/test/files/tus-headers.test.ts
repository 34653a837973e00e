/** Goal: Upload-Metadata is read as tus clients send it, in time that grows with its length. */
import { expect, test } from 'vitest';
import { metadataOf } from '../../src/http/tus/headers.ts';

test.each([
  ['key YQ==', { key: 'a' }],
  [' Key   YQ== , class  Yg== ,', { key: 'a', class: 'b' }],
  ['key YQ==,empty', { key: 'a', metadata: { empty: '' } }],
])('%j', (header, said) => {
  expect(metadataOf(header)).toMatchObject(said);
});

test.each(['key YQ== YQ==', 'key %', 'key YQ==,key YQ==', 'a\tb YQ==', 'key YQ===', 'key /w=='])(
  '%j is refused',
  (header) => {
    expect(() => metadataOf(header)).toThrow('Upload-Metadata');
  },
);

test('many spaces take no time', () => {
  const started = performance.now();
  expect(() => metadataOf(`key${' '.repeat(500_000)}%`)).toThrow('Upload-Metadata');
  expect(performance.now() - started).toBeLessThan(60_000);
});
