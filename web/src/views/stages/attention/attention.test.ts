import { describe, expect, it } from 'vitest';
import {
  asSelection, cellOf, cellSize, cut, keyValueHead, largest, largestSize, maskedKeys, needsWidth, readableStep, rowHeight, readOne, shownKeys, softmaxParts, turned, upright, withOne,
} from './attention';

describe('pictures', () => {
  it('turns queries and keys about', () => {
    expect([...turned([1, 2, 3, 4], 2)]).toEqual([1, 3, 2, 4]);
    expect([...upright([1, 2, 3, 4, 5, 6], 2, 3)]).toEqual([1, 4, 2, 5, 3, 6]);
  });

  it('keeps rows of 20 px until the text is long', () => {
    expect(cellSize(10, 330)).toEqual({ width: 28, height: 20 });
    expect(cellSize(40, 330)).toEqual({ width: 8, height: 20 });
    expect(cellSize(200, 700)).toEqual({ width: 3, height: 3 });
    expect(cellSize(2000, 700)).toEqual({ width: 1, height: 1 });
    expect([10, 80, 200].map((n) => needsWidth(n, 330))).toEqual([false, false, true]);
    expect([10, 40, 50, 200, 1024].map(rowHeight)).toEqual([20, 20, 16, 4, 2]);
    expect(readableStep(20)).toBe(1);
    expect(readableStep(4)).toBe(3);
  });

  it('cuts a long name, and no character in two', () => {
    expect(cut('robots', 6)).toBe('robots');
    expect(cut('·international', 8)).toBe('·intern…');
    expect(cut('😀😀😀', 2)).toBe('😀…');
  });

  it('shows every key, or the strongest in their order', () => {
    expect(shownKeys([0.1, 0.9], 2)).toEqual([0, 1]);
    expect(shownKeys([0.1, 0.5, 0, 0.4], 2)).toEqual([1, 3]);
  });
});

describe('numbers', () => {
  it('has the max, the exponentials and the sum of a softmax', () => {
    const { max, exps, sum } = softmaxParts([1, 2, -Infinity]);
    expect(max).toBe(2);
    expect(exps[1]).toBe(1);
    expect(exps[2]).toBe(0);
    expect(sum).toBeCloseTo(1 + Math.exp(-1), 12);
  });

  it('finds the largest, one passed over or by size', () => {
    expect(largest([5, 1, 3])).toBe(0);
    expect(largest([5, 1, 3], 0)).toBe(2);
    expect(largestSize([1, -7, 3])).toBe(1);
  });

  it('reads the mask from the scores', () => {
    const low = -Infinity;
    expect(maskedKeys([1, low, low, 1, 1, low, low, 1, 1], 3, 0)).toEqual([1, 2]);
    expect(maskedKeys([1, low, low, 1, 1, low, low, 1, 1], 3, 2)).toEqual([0]);
    expect(asSelection([3, 4, 5])).toEqual({ start: 3, stop: 6 });
    expect(asSelection([0, 4])).toEqual([0, 4]);
    expect(asSelection([])).toEqual([]);
  });

  it('finds the key/value head of a query head', () => {
    const grouped = { n_head: 9, n_kv_head: 3 };
    expect([0, 2, 3, 8].map((head) => keyValueHead(head, grouped))).toEqual([0, 0, 1, 2]);
    expect(keyValueHead(7, { n_head: 12, n_kv_head: 12 })).toBe(7);
  });
});

describe('the address', () => {
  it('names a cell of this head alone', () => {
    const sites = ['blocks.0.attn.qk'];
    expect(cellOf({ site: 'blocks.0.attn.qk', index: [2, 5, 4] }, sites, 2)).toEqual({ query: 5, key: 4 });
    expect(cellOf({ site: 'blocks.0.attn.qk', index: [1, 5, 4] }, sites, 2)).toBeNull();
    expect(cellOf({ site: 'blocks.1.attn.qk', index: [2, 5, 4] }, sites, 2)).toBeNull();
    expect(cellOf(null, sites, 2)).toBeNull();
  });

  it('keeps one of several switches, and the others as they are', () => {
    expect(withOne(['transpose', 'at-1'], 'at-', '3')).toEqual(['transpose', 'at-3']);
    expect(withOne(['transpose', 'at-1'], 'at-', null)).toEqual(['transpose']);
    expect(readOne(['transpose', 'at-1'], 'at-')).toBe('1');
    expect(readOne([], 'at-')).toBeNull();
  });
});
