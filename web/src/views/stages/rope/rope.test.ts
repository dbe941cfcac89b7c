import { describe, expect, it } from 'vitest';
import { arc, around, pairsOf } from './turns';

describe('pairsOf', () => {
  it('pairs a dimension with the one half a head further, and reads the turn from the points', () => {
    const angle = 0.5;
    const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
    const before = [3, 1, 4, 0];
    const after = [3 * cos - 4 * sin, 1, 4 * cos + 3 * sin, 0];
    const [first, second] = pairsOf(before, after, [cos, 1], [sin, 0]);
    expect(first).toMatchObject({ j: 0, k: 2, before: [3, 4], length: 5 });
    expect(first?.turned).toBeCloseTo(angle, 12);
    expect(first?.step).toBeCloseTo(angle, 12);
    expect(second).toMatchObject({ j: 1, k: 3, turned: 0, step: 0 });
  });

  it('has no step where there is no second position to read it from', () => {
    expect(pairsOf([1, 0], [1, 0], null, null)[0]?.step).toBeNull();
  });
});

describe('angles', () => {
  it('stays within one turn', () => {
    expect(around(-0.5)).toBeCloseTo(2 * Math.PI - 0.5, 12);
    expect(around(7)).toBeCloseTo(7 - 2 * Math.PI, 12);
    expect(around(-1e-9)).toBe(0);
  });

  it('draws an arc counter-clockwise, the long way when it is long', () => {
    expect(arc(0, Math.PI / 2, 10)).toBe('M10.00,0.00A10,10 0 0 0 0.00,-10.00');
    expect(arc(0, 4, 10)).toContain('0 1 0');
  });
});
