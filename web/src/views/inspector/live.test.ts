import { describe, expect, it } from 'vitest';
import type { ConfigAnswer, ExplainAnswer } from '../../protocol/types';
import { every } from '../../state/lit.svelte';
import { indexOfValue, liveLatex, longSum, tex } from './live';
import { sharesOf } from './shares';

const config = { d_head: 4, norm_eps: 1e-5, activation: 'silu' } as ConfigAnswer;

function explained(site: string, result: number | null, inputs: Partial<ExplainAnswer['inputs'][number]>[], index = [0, 1]): ExplainAnswer {
  return {
    site, axes: [], index, value: result, result, latex: 'x', meaning: '', source: '', changed_by: [],
    inputs: inputs.map((each) => ({ name: 'in', kind: 'site', axes: [], index: [[0], [0]], shape: [], values: [], ...each })),
  };
}

describe('a long sum', () => {
  it('is found where products add up to the value, bias included', () => {
    const answer = explained('blocks.0.attn.q', 1 * 4 + 2 * 5 - 3 * 6 + 0.5, [{ values: [1, 2, -3] }, { values: [4, 5, 6] }, { values: [0.5] }]);
    expect(longSum(answer)).toMatchObject({ a: [1, 2, -3], b: [4, 5, 6], bias: 0.5 });
  });
  it('is found where values alone add up', () => {
    expect(longSum(explained('blocks.0.attn_out', 6, [{ values: [1, 2, 3] }]))).toMatchObject({ b: null, bias: 0 });
  });
  it('is not made up where they do not', () => {
    expect(longSum(explained('blocks.0.ln1.scale', 2.16, [{ values: [1, 2, 3] }]))).toBeNull();
    expect(longSum(explained('x', 5, [{ values: [1, 2] }, { values: [4, 5] }]))).toBeNull();
  });
});

it('a sum is not made up of what is no sum, even where it comes near', () => {
  expect(longSum(explained('blocks.0.attn.pattern', 0.95, [{ values: [1, null, null] }]))).toBeNull();
  expect(longSum(explained('x', 0.95, [{ values: [1, null] }]))).toBeNull();
  expect(longSum(explained('blocks.0.ln1.scale', 6, [{ values: [1, 2, 3] }]))).toBeNull();
});

describe('a softmax, key by key', () => {
  const row = (scores: (number | null)[], key: number): ReturnType<typeof sharesOf> => {
    const powers = scores.map((score) => (score === null ? 0 : Math.exp(score)));
    const value = (powers[key] ?? 0) / powers.reduce((sum, each) => sum + each, 0);
    return sharesOf(explained('blocks.0.attn.pattern', value, [{ values: scores, index: [[0], [1], scores.map((_, i) => i)] }], [0, 1, key]));
  };
  it('says −∞ → 0 for masked keys and closes to the value', () => {
    expect(row([1, 1, null, null], 1)).toMatchObject({ max: 1, sum: '2.0000', own: '1.0000', masked: 2, rest: { count: 0 } });
    expect(row([1, 1, null, null], 3)).toMatchObject({ own: '0', masked: 1 });
    expect(row([1, 1, null, null], 3)?.rows.at(-1)).toMatchObject({ key: 3, score: -Infinity, power: '0' });
  });
  it('lists eight, the pinned one among them', () => {
    const long = row(Array.from({ length: 20 }, (_, i) => -i), 15);
    expect(long?.rows).toHaveLength(8);
    expect(long?.rows.at(-1)?.key).toBe(15);
    expect(long?.rest.count).toBe(12);
  });
  it('shows nothing that does not close', () => {
    expect(sharesOf(explained('blocks.0.attn.pattern', 0.9, [{ values: [1, 1], index: [[0], [1], [0, 1]] }], [0, 1, 1]))).toBeNull();
  });
});

describe('live formulas', () => {
  it('put the numbers in', () => {
    expect(liveLatex(explained('blocks.3.resid_mid', 0.5, [{ values: [2] }, { values: [-1.5] }]), config)).toBe('2.00 + (-1.50) = 0.500');
    expect(liveLatex(explained('blocks.3.attn.qk_scaled', 3, [{ values: [6] }]), config)).toBe('\\frac{6.00}{\\sqrt{4}} = \\frac{6.00}{2.00} = 3.00');
  });
  it('softmax: over the unmasked scores, largest subtracted', () => {
    const latex = liveLatex(explained('blocks.0.attn.pattern', 0.5, [{ values: [1, 1, null], index: [[0], [1], [0, 1, 2]] }], [0, 1, 1]), config);
    expect(latex).toContain('\\frac{1.0000}{2.0000} = 0.500');
  });
  it('turned pairs: half-split', () => {
    const q = { values: [1, 2, 3, 4] };
    const turn = (at: number): string | null =>
      liveLatex(explained('blocks.0.attn.rot_q', 0, [q, { values: [0.5, 0.6] }, { values: [0.1, 0.2] }], [0, 0, at]), config);
    expect(turn(1)).toContain('2.00 \\cdot 0.600 - 4.00 \\cdot 0.200');
    expect(turn(3)).toContain('4.00 \\cdot 0.600 + 2.00 \\cdot 0.200');
  });
  it('numbers are written for LaTeX', () => {
    expect([tex(-23000), tex(1e-7), tex(-Infinity)]).toEqual(['-23{,}000', '1.00\\times 10^{-7}', '-\\infty']);
  });
});

it('every value of an input has its own index, row-major', () => {
  const input = { name: 'in', kind: 'site', axes: ['a', 'b', 'c'], index: [[5], [2, 3], [0, 7]], shape: [1, 2, 2], values: [1, 2, 3, 4] };
  expect([0, 1, 2, 3].map((i) => indexOfValue(input, i))).toEqual(every(input.index));
});
