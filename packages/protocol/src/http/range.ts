/** Byte ranges of RFC 9110 §14: which parts of a file a `Range` header asks for. Pure. */

/** Both ends inclusive, in bytes. */
export interface ByteRange {
  start: number;
  end: number;
}

/** `whole`: there is no range to honour; `unsatisfiable`: answer 416. */
export type RangeChoice = 'whole' | 'unsatisfiable' | readonly ByteRange[];

/** More ranges than a player or a download tool asks for are a way to make a node work for free. */
const rangesMax = 32;

/** Chooses what to send of a file of `length` bytes; what is not understood is ignored (§14.2). */
export function chooseRanges(header: string | undefined, length: number): RangeChoice {
  const set = header === undefined ? undefined : /^bytes=(.*)$/i.exec(header)?.[1];
  if (set === undefined) return 'whole';
  const specs = set.split(',').map((spec) => spec.trim());
  if (specs.length > rangesMax) return 'whole';
  const ranges: ByteRange[] = [];
  let total = 0;
  for (const spec of specs) {
    // RFC 9110 §5.6.1.2: empty list elements are to be ignored.
    if (spec === '') continue;
    const range = parseSpec(spec, length);
    if (range === undefined) return 'whole';
    if (range === 'outside') continue;
    ranges.push(range);
    total += range.end - range.start + 1;
  }
  if (ranges.length === 0) return 'unsatisfiable';
  // §14.2: overlapping ranges that add up to more than the file are an abuse; it may be ignored.
  return ranges.length > 1 && total > length ? 'whole' : ranges;
}

function parseSpec(spec: string, length: number): ByteRange | 'outside' | undefined {
  const match = /^(\d*)-(\d*)$/.exec(spec);
  if (match === null) return undefined;
  const [, first = '', last = ''] = match;
  if (first === '' && last === '') return undefined;
  if (first === '') {
    const suffix = Number(last);
    if (suffix === 0 || length === 0) return 'outside';
    return { start: Math.max(0, length - suffix), end: length - 1 };
  }
  const start = Number(first);
  const end = last === '' ? length - 1 : Number(last);
  if (last !== '' && end < start) return undefined;
  return start >= length ? 'outside' : { start, end: Math.min(end, length - 1) };
}
