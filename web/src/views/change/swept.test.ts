import { expect, test } from 'vitest';
import { fitsWhole, fitted, firstOther, MOST_ROWS, rangeOf, rowsOf, startingAt, withRange } from './swept';

test('a short text is tried whole, whatever the address says', () => {
  expect(rangeOf([], 29)).toEqual({ from: 0, to: 29 });
  expect(rangeOf(['swept-3-5'], 29)).toEqual({ from: 0, to: 29 });
  expect(fitsWhole(90)).toBe(true);
  expect(fitsWhole(91)).toBe(false);
});

test('of a long one the last places, or those that are named', () => {
  expect(rangeOf([], 1000)).toEqual({ from: 968, to: 1000 });
  expect(rangeOf([], 150)).toEqual({ from: 118, to: 150 });
  const switches = withRange(['symlog', 'swept-1-2'], { from: 940, to: 950 });
  expect(switches).toEqual(['symlog', 'swept-940-949']);
  expect(rangeOf(switches, 1000)).toEqual({ from: 940, to: 950 });
  expect(rangeOf(['swept-nonsense'], 1000)).toEqual({ from: 968, to: 1000 });
  expect(rangeOf(['swept-5000-6000'], 1000)).toEqual({ from: 999, to: 1000 });
});

test('as many as the server runs, and never none', () => {
  for (const n of [91, 256, 257, 1000, 4000, 9000]) {
    for (const from of [0, Math.floor(n / 2), n - 1]) {
      const range = startingAt(n, from);
      expect(range.from).toBe(from);
      expect(range.to).toBeGreaterThan(from);
      if (range.to > from + 1) expect(rowsOf(n, range)).toBeLessThanOrEqual(MOST_ROWS);
    }
  }
  expect(fitted(1000, { from: 0, to: 1000 })).toEqual({ from: 0, to: 8 });
  expect(fitted(1000, { from: 936, to: 1000 })).toEqual({ from: 936, to: 1000 });
  // one by one: 1000 + 999 + …
  expect(rowsOf(1000, { from: 0, to: 8 })).toBe([...Array(8).keys()].reduce((sum, at) => sum + 1000 - at, 0));
});

test('where two sentences first differ', () => {
  expect(firstOther([{ a: 0, b: 0, same: true }, { a: null, b: 1, same: false }, { a: 1, b: 2, same: false }])).toBe(1);
  expect(firstOther([{ a: 0, b: 0, same: true }])).toBe(null);
});
