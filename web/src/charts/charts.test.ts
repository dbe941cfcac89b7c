import { describe, expect, it } from 'vitest';
import { binColumns } from './bins';
import { exact, percent, short } from './format';
import { cellBox, cellUnder } from './paint';
import { colourBound, shareScale, signedScale, type Palette } from './scales';
import { readableSum } from './sum';

const palette: Palette = {
  ground: '#fbfaf7', ink: '#000000', muted: '#888888', rule: '#dddddd', negative: '#2166ac', positive: '#b35806',
  share: '#4b2a86', lit: '#ff0000',
};
const GROUND = [251, 250, 247];

describe('numbers', () => {
  it('keep three significant digits and a real minus', () => {
    expect([21.5679, -0.0031234, 22989, 0.5, 0, 576.4, 1e-7, -2.5e9].map((n) => short(n))).toEqual([
      '21.6', '−0.00312', '23,000', '0.500', '0', '576', '1.00×10⁻⁷', '−2.50×10⁹',
    ]);
    expect(short(null)).toBe('–');
    expect(short(-Infinity)).toBe('−∞');
  });
  it('are exact when pinned: read back, the same float32', () => {
    for (const value of [21.567943572998047, 1 / 3, -1e-5, 22989.123, 16777216, 0.1]) {
      const float = Math.fround(value);
      expect(Math.fround(Number(exact(float).replace('−', '-')))).toBe(float);
    }
    expect(exact(Math.fround(0.1))).toBe('0.1');
  });
  it('never round a share to certainty or to nothing', () => {
    expect([0.4, 0.0321, 0.00041, 1e-6, 0.9999999, 1, 0].map(percent)).toEqual([
      '40%', '3.2%', '0.041%', '<0.01%', '>99.9%', '100%', '0%',
    ]);
  });
});

describe('the signed scale', () => {
  const scale = signedScale(palette, 2, { most: 100 });
  it('shows zero as ground and the bound in full colour', () => {
    expect(scale.rgb(0)).toEqual(GROUND);
    expect(scale.rgb(2)).toEqual([179, 88, 6]);
    expect(scale.rgb(-2)).toEqual([33, 102, 172]);
  });
  it('saturates beyond the bound, and says so', () => {
    expect(scale.rgb(50)).toEqual(scale.rgb(2));
    expect([scale.beyond(2), scale.beyond(-2.1)]).toEqual([false, true]);
  });
  it('as symlog reaches the true maximum', () => {
    const log = signedScale(palette, 2, { most: 100, symlog: true });
    expect(log.beyond(99)).toBe(false);
    expect(log.rgb(100)).toEqual([179, 88, 6]);
    expect(log.rgb(2)).not.toEqual(log.rgb(100));
  });
  it('takes c from the median row’s 99th percentile, as NumPy does', () => {
    // rows 0..100 and ten times that: percentiles 99 and 990, median 544.5
    const rows = Float32Array.from({ length: 202 }, (_, i) => (i < 101 ? i : (i - 101) * -10));
    expect(colourBound(rows, 2, 101)).toBeCloseTo(544.5);
    expect(colourBound([-Infinity, 1], 1, 2)).toBe(1);
  });
});

it('the share scale is a square root', () => {
  const scale = shareScale(palette);
  const half = signedScale({ ...palette, positive: palette.share }, 1).rgb(0.5);
  expect(scale.rgb(0.25)).toEqual(half);
  expect(scale.rgb(0)).toEqual(GROUND);
});

describe('reduction', () => {
  const data = Float32Array.from([1, -5, 2, 3, 0, 0, -1, NaN, 4, -4, -Infinity, 6]);
  it('shows in each bin a real element, the one with the largest |x|, and where it stands', () => {
    const binned = binColumns(data, 2, 6, 3);
    expect([...binned.data]).toEqual([-5, 3, 0, -1, 4, 6]);
    expect([...binned.at]).toEqual([1, 3, 4, 0, 2, 5]);
    expect(binned.width).toBe(2);
  });
  it('leaves what fits as it is', () => {
    expect([...binColumns(data, 2, 6, 10).at]).toEqual([0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
  });
});

describe('a readable sum', () => {
  const units = (text: string): number => Number(text.replace('−', '-'));
  it('closes exactly as displayed', () => {
    const terms = Array.from({ length: 576 }, (_, i) => Math.sin(i * 7.3) * (i % 13));
    const total = terms.reduce((a, b) => a + b, 0);
    const sum = readableSum(terms, total);
    expect(sum.terms).toHaveLength(8);
    expect(sum.rest).toBe(568);
    const shown = [...sum.terms.map((term) => term.shown), sum.otherShown].reduce((a, text) => a + units(text), 0);
    expect(shown.toFixed(sum.decimals)).toBe(units(sum.totalShown).toFixed(sum.decimals));
  });
  it('tells a change by hand apart from the other terms', () => {
    const terms = Array.from({ length: 20 }, (_, i) => i - 4);
    const real = readableSum(terms, 110);
    expect(real.changed).toBe(0);
    const off = readableSum(terms, 0);
    expect(off.changedShown).toBe('−110.000');
    expect(off.other).toBe(real.other);
    const shown = [...off.terms.map((term) => term.shown), off.otherShown, off.changedShown].reduce((a, text) => a + Number(text.replace('−', '-')), 0);
    expect(shown).toBe(0);
  });
  it('names the largest products first', () => {
    expect(readableSum([1, -9, 3, 0.5], -4.5, 2).terms.map((term) => term.at)).toEqual([1, 2]);
  });
});

describe('cells', () => {
  const g = { rows: 3, cols: 4, width: 80, rowHeight: 20, inset: 2 };
  it('are found under the pointer, and stand where they are found', () => {
    for (const [row, col] of [[0, 0], [2, 3], [1, 2]] as const) {
      const box = cellBox(g, row, col);
      expect(cellUnder(g, box.x + box.width / 2, box.y + box.height / 2)).toEqual({ row, col });
    }
    expect(cellUnder(g, 81, 5)).toBeNull();
    expect(cellUnder(g, 5, 60)).toBeNull();
  });
});
