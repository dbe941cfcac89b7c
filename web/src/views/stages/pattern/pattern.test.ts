import { describe, expect, it } from 'vitest';
import { hatching, largestBeside, ranked } from './pattern';

const low = -Infinity;

describe('the pattern', () => {
  it('hatches what the mask rules out, and the first key when it is set aside', () => {
    expect([...hatching([1, low, 2, 3], 2, false)]).toEqual([0, 1, 0, 0]);
    expect([...hatching([1, low, 2, 3], 2, true)]).toEqual([1, 1, 1, 0]);
  });

  it('stretches the colours to the largest share beside the first', () => {
    expect(largestBeside([1, 0, 0.7, 0.3], 2)).toBe(0.3);
    expect(largestBeside([1], 1)).toBe(1);
  });

  it('ranks what a query may look at', () => {
    const row = [0.5, 0.1, 0.4, 0];
    const last = (key: number): boolean => key === 3;
    expect(ranked(row, last, 2, false)).toMatchObject({ keys: [0, 2], most: 0.5, rest: 1, first: null, masked: 1 });
    expect(ranked(row, last, 2, false).restShare).toBeCloseTo(0.1);
    expect(ranked(row, last, 5, true)).toMatchObject({ keys: [2, 1], most: 0.4, rest: 0, first: 0.5 });
    expect(ranked([1], () => false, 5, true).keys).toEqual([0]);
  });
});
