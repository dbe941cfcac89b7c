import { describe, expect, it } from 'vitest';
import { binRows, listed } from './load';

describe('binRows', () => {
  it('shows a real element of each bin, and says which', () => {
    const { rows, data, at, height } = binRows([1, -2, -5, 1, 3, 0, 2, 9], 4, 2, 2);
    expect(rows).toBe(2);
    expect([...data]).toEqual([-5, -2, 3, 9]);
    expect([...at]).toEqual([1, 0, 2, 3]);
    expect(height).toBe(2);
  });

  it('leaves a small matrix whole', () => {
    expect([...binRows([1, 2, 3, 4], 2, 2, 10).data]).toEqual([1, 2, 3, 4]);
  });
});

describe('listed', () => {
  it('reads like a sentence', () => {
    expect(listed([4])).toBe('4');
    expect(listed([0, 1, 2])).toBe('0, 1 and 2');
  });
});
