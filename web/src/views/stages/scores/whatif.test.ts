import { describe, expect, it } from 'vitest';
import { changes, effectOf, isOpen, isWhatIf } from './whatif';

const low = -Infinity;
const given = { block: 3, head: 2, dHead: 64, n: 2, scaled: [1, 2, 3, 4], scores: [1, low, 3, 4] };

describe('changes', () => {
  it('undoes the division by multiplying what was divided', () => {
    expect(changes('no-root', given)).toEqual([{ site: 'blocks.3.attn.qk_scaled', action: 'scale', selection: { head: 2 }, value: 8 }]);
  });

  it('puts a zero where the mask put −∞, row by row', () => {
    expect(changes('zero-before', given)).toEqual([
      { site: 'blocks.3.attn.attn_scores', action: 'zero', selection: { head: 2, q_pos: 0, k_pos: { start: 1, stop: 2 } } },
    ]);
  });

  it('gives back the scores that were masked, and cuts the shares afterwards', () => {
    const selection = { head: 2, q_pos: 0, k_pos: { start: 1, stop: 2 } };
    expect(changes('zero-after', given)).toEqual([
      { site: 'blocks.3.attn.attn_scores', action: 'set', selection, value: [2] },
      { site: 'blocks.3.attn.pattern', action: 'zero', selection },
    ]);
  });

  it('knows which rows no mask changes', () => {
    expect([0, 1].map((query) => isOpen(given.scores, 2, query))).toEqual([false, true]);
    expect(isOpen([1], 1, 0)).toBe(true);
  });

  it('knows its own names', () => {
    expect(isWhatIf('no-root')).toBe(true);
    expect(isWhatIf('other')).toBe(false);
    expect(isWhatIf(null)).toBe(false);
  });
});

describe('effectOf', () => {
  it('sums what it is shown', () => {
    const { sharp, rows } = effectOf([0.95, 0, 0.25, 0.75], given.scores, 2);
    expect(sharp).toBe(1);
    expect(rows[0]?.sum).toBeCloseTo(0.95);
    expect(rows[0]?.lost).toBeCloseTo(0.05);
    expect(rows[1]).toMatchObject({ top: 0.75, topKey: 1, lost: 0 });
    expect(effectOf([0.9, 0.1, 0.25, 0.75], given.scores, 2).rows[0]?.masked).toBeCloseTo(0.1);
  });
});
