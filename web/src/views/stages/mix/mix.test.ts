import { describe, expect, it } from 'vitest';
import { stripeWidth } from '../attention/attention';
import { column } from './load';

describe('mix', () => {
  it('takes a column of a row-major matrix', () => {
    expect(column([1, 2, 3, 4, 5, 6], 3, 1)).toEqual([2, 5]);
    expect(column(new Float32Array(0), 3, 1)).toEqual([]);
  });

  it('gives whole pixels to each element where there are enough', () => {
    expect(stripeWidth(64, 330)).toBe(320);
    expect(stripeWidth(576, 800)).toBe(576);
    expect(stripeWidth(4096, 800.5)).toBe(800);
  });
});
