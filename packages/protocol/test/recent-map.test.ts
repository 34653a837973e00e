/** Goal: what was noted last is there, however much is noted, and not more than the bound. */
import { expect, test } from 'vitest';
import { RecentMap } from '../src/recent-map.ts';

test('the last are kept, and those that are asked for', () => {
  const map = new RecentMap<string, number>(10);
  map.set('asked', -1);
  for (let at = 0; at < 100; at += 1) {
    map.set(`name ${at}`, at);
    expect(map.get('asked')).toBe(-1);
  }
  const kept = Array.from({ length: 100 }, (_, at) => at).filter(
    (at) => map.get(`name ${at}`) !== undefined,
  );
  expect(kept.length).toBeLessThanOrEqual(10);
  expect(map.get('name 99')).toBe(99);
  expect(map.get('name 97')).toBe(97);
  expect(map.get('name 80')).toBeUndefined();
  map.set('name 99', 1);
  expect(map.get('name 99')).toBe(1);
  map.delete('name 99');
  expect(map.get('name 99')).toBeUndefined();
  map.clear();
  expect(map.get('asked')).toBeUndefined();
});
