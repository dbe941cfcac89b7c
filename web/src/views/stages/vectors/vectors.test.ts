import { describe, expect, it } from 'vitest';
import { layout, middleOf, NAME } from './layout';
import { largest, mean, medianSize, shareOfSquares, strongest } from './numbers';

describe('layout', () => {
  it('gives every element a whole pixel where there is room', () => {
    expect(layout(896, 576)).toEqual({ narrow: false, width: 576, left: NAME });
    expect(layout(1500, 576).width).toBe(1152);
  });

  it('takes all of a narrow room, with the words above', () => {
    expect(layout(358, 576)).toEqual({ narrow: true, width: 358, left: 0 });
  });

  it('keeps a short vector readable and inside its room', () => {
    expect(layout(896, 32).width % 32 === 0 || layout(896, 32).width === 240).toBe(true);
    for (const n of [8, 32, 600, 4096]) expect(layout(700, n).width).toBeLessThanOrEqual(700);
  });

  it('points at the middle of an element', () => {
    expect(middleOf(0, 4, 100)).toBe(12.5);
    expect(middleOf(3, 4, 100)).toBe(87.5);
  });
});

describe('numbers', () => {
  const data = new Float32Array([1, -9, 2, 9, 0]);
  it('orders by size, earlier first', () => {
    expect(strongest(data, 3)).toEqual([1, 3, 2]);
    expect(largest(data)).toBe(1);
  });

  it('takes means and medians', () => {
    expect(mean(data)).toBeCloseTo(0.6, 6);
    expect(medianSize(data)).toBe(2);
    expect(medianSize([1, -3])).toBe(2);
  });

  it('says what one number makes of the sum of squares', () => {
    expect(shareOfSquares([3, 4], 1)).toBeCloseTo(16 / 25, 12);
    expect(shareOfSquares([3, 5], 1, 4)).toBeCloseTo(0.5, 12);
    expect(shareOfSquares([0, 0], 0)).toBe(0);
  });
});
