/**
 * Goal: an answer of many files is taken apart right however the network cuts it, and what is no
 * such answer is told. Method: frames are cut at every place.
 */
import { expect, test } from 'vitest';
import { bundle, type FrameHead, FrameReader, writeFrameHead } from '../src/index.ts';

function frame(head: FrameHead, body = ''): Buffer {
  const bytes = Buffer.alloc(bundle.headBytes);
  writeFrameHead(bytes, head);
  return Buffer.concat([bytes, Buffer.from(body)]);
}

/** What a reader for so many targets makes of the chunks. */
function read(targets: number, chunks: readonly Buffer[]) {
  const files = new Map<number, string>();
  let into: Buffer | undefined;
  const reader = new FrameReader(targets, {
    begin: ({ status, bytes }) => {
      into = status === 200 ? Buffer.alloc(bytes) : undefined;
      return into;
    },
    end: ({ index, status }) => files.set(index, into?.toString() ?? String(status)),
  });
  for (const chunk of chunks) reader.push(chunk);
  return { files, complete: reader.complete };
}

const three = Buffer.concat([
  frame({ index: 2, status: 200, bytes: 5 }, 'hello'),
  frame({ index: 0, status: 404, bytes: 4 }, 'gone'),
  frame({ index: 1, status: 200, bytes: 0 }),
]);

test('frames come out the same wherever they are cut', () => {
  for (let cut = 0; cut <= three.length; cut += 1) {
    const { files, complete } = read(3, [three.subarray(0, cut), three.subarray(cut)]);
    expect([...files]).toEqual([
      [2, 'hello'],
      [0, '404'],
      [1, ''],
    ]);
    expect(complete).toBe(true);
  }
});

test('an answer that ends early is not complete', () => {
  for (let end = 0; end < three.length; end += 1) {
    expect(read(3, [three.subarray(0, end)]).complete).toBe(false);
  }
});

test.each([
  ['an index beyond the targets', [frame({ index: 3, status: 200, bytes: 0 })]],
  ['a second frame for a target', [three, frame({ index: 0, status: 404, bytes: 0 })]],
  ['more bytes than a file may have', [frame({ index: 0, status: 200, bytes: 2 ** 32 - 1 })]],
  ['text', [Buffer.from('<html>this is something else</html>')]],
])('%s is refused', (_, chunks) => {
  expect(() => read(3, chunks)).toThrow(RangeError);
});
