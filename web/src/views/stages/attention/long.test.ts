import { describe, expect, it } from 'vitest';
import { actsOnScores, around, binsOf, FETCHED, holds, maskOf, moved, rowsWith, startOf, ticksOf } from './long';

const size = { rows: 22, cols: 20 };

describe('the magnified part', () => {
  it('has the cell in its middle, and stays in the square', () => {
    expect(around({ query: 500, key: 300 }, size, 1000)).toEqual({ q: 489, k: 290, rows: 22, cols: 20 });
    expect(around({ query: 3, key: 0 }, size, 1000)).toMatchObject({ q: 0, k: 0 });
    expect(around({ query: 999, key: 995 }, size, 1000)).toMatchObject({ q: 978, k: 980 });
    expect(around({ query: 2, key: 1 }, size, 10)).toEqual({ q: 0, k: 0, rows: 10, cols: 10 });
  });

  it('moves as far as the square goes', () => {
    const at = around({ query: 500, key: 5 }, size, 1000);
    expect(moved(at, 1, 0, 1000)).toMatchObject({ q: 490, k: 0 });
    expect(moved(at, 0, -1, 1000)).toEqual(at);
    expect(moved(at, 4000, 1, 1000)).toMatchObject({ q: 978, k: 1 });
  });

  it('holds what it shows', () => {
    const at = around({ query: 500, key: 300 }, size, 1000);
    expect([[489, 290], [510, 309]].map(([query = 0, key = 0]) => holds(at, { query, key }))).toEqual([true, true]);
    expect([[488, 290], [511, 290], [489, 289], [489, 310]].map(([query = 0, key = 0]) => holds(at, { query, key }))).toEqual([false, false, false, false]);
  });

  it('is inside of what is fetched around it, wherever it stands', () => {
    for (const length of [6, 14, 17, 20, 22]) {
      for (let first = 0; first < 300; first++) {
        const start = startOf(first, length);
        expect(start <= first && first + length <= start + FETCHED).toBe(true);
        // and may move some way to both sides
        if (start > 0) expect(Math.min(first - start, start + FETCHED - first - length)).toBeGreaterThanOrEqual(5);
      }
    }
  });
});

describe('what is fetched', () => {
  it('brings few rows where they are long', () => {
    for (const [n, sites] of [[201, 1], [1000, 1], [1000, 4], [4096, 1], [4096, 4]] as const) {
      for (const query of [0, 31, 32, n - 1]) {
        const { from, rows } = rowsWith(query, n, sites);
        expect(from <= query && query < from + rows && from % rows === 0).toBe(true);
        expect(rows * n * sites <= 32_768 && rows <= 32).toBe(true);
      }
    }
    expect(rowsWith(500, 1000, 1).rows).toBe(32);
    expect(rowsWith(500, 100_000, 4)).toEqual({ from: 500, rows: 1 });
  });

  it('is whole where every element has a device pixel, unless that is too much', () => {
    expect(binsOf(300, 440, 1)).toBe(300);
    expect(binsOf(800, 440, 1)).toBe(440);
    expect(binsOf(800, 440, 2)).toBe(800);
    expect(binsOf(1000, 600, 2)).toBe(600);
  });
});

describe('the mask', () => {
  it('rules out later keys, and those before a window', () => {
    const causal = maskOf({ sliding_window: null }, 0);
    expect([[5, 5], [5, 6], [5, 0]].map(([q = 0, k = 0]) => causal(q, k))).toEqual([false, true, false]);
    const window = maskOf({ sliding_window: 3 }, 0);
    expect([2, 3, 5, 6].map((key) => window(5, key))).toEqual([true, false, false, true]);
  });

  it('counts queries from where the rows start', () => {
    expect(maskOf({ sliding_window: null }, 10)(0, 10)).toBe(false);
    expect(maskOf({ sliding_window: null }, 10)(0, 11)).toBe(true);
  });

  it('is read from the scores where a change acts on them', () => {
    const at = (site: string): boolean => actsOnScores([{ site, action: 'skip' }], 3);
    expect(['blocks.3.attn.attn_scores', 'blocks.*.attn.attn_scores', 'blocks.3.attn.*', '*'].map(at)).toEqual([true, true, true, true]);
    expect(['blocks.13.attn.attn_scores', 'blocks.3.attn.pattern', 'blocks.*.attn.rot_*', 'blocks.3.attn.z'].map(at)).toEqual([false, false, false, false]);
    expect(actsOnScores([], 3)).toBe(false);
  });
});

it('ticks are round, and few', () => {
  expect(ticksOf(1000, 6)).toEqual([0, 200, 400, 600, 800]);
  expect(ticksOf(4096, 6)).toEqual([0, 1000, 2000, 3000, 4000]);
  expect(ticksOf(201, 4)).toEqual([0, 100, 200]);
  for (let n = 201; n < 5000; n += 37) expect(ticksOf(n, 5).length).toBeLessThanOrEqual(6);
});
