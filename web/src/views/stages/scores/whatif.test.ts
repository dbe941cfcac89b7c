import { describe, expect, it } from 'vitest';
import { changes, closedRows, effectOf, isOpen, isWhatIf } from './whatif';

const low = -Infinity;
const scores = [1, low, 3, 4];
const given = { block: 3, head: 2, dHead: 64, rows: closedRows(scores, 2), all: true };
const [scored, shared] = ['blocks.3.attn.attn_scores', 'blocks.3.attn.pattern'];

describe('changes', () => {
  it('undoes the division by multiplying what was divided', () => {
    expect(changes('no-root', given)).toEqual([{ site: 'blocks.3.attn.qk_scaled', action: 'scale', selection: { head: 2 }, value: 8 }]);
  });

  it('puts a zero where the mask put −∞, row by row', () => {
    expect(changes('zero-before', given)).toEqual([{ site: scored, action: 'zero', selection: { head: 2, q_pos: 0, k_pos: { start: 1, stop: 2 } } }]);
  });

  it('leaves the mask out, and cuts the shares afterwards', () => {
    const selection = { head: 2, q_pos: 0, k_pos: { start: 1, stop: 2 } };
    expect(changes('zero-after', given)).toEqual([{ site: scored, action: 'skip', selection: { head: 2 } }, { site: shared, action: 'zero', selection }]);
  });

  it('changes one row of a long text, with no number for each key', () => {
    const keys = Array.from({ length: 3999 }, (_, i) => i + 1);
    const one = { ...given, rows: [{ query: 0, keys }], all: false };
    const selection = { head: 2, q_pos: 0, k_pos: { start: 1, stop: 4000 } };
    expect(changes('zero-before', one)).toEqual([{ site: scored, action: 'zero', selection }]);
    expect(changes('zero-after', one)).toEqual([{ site: scored, action: 'skip', selection: { head: 2, q_pos: 0 } }, { site: shared, action: 'zero', selection }]);
  });

  it('knows which rows no mask changes', () => {
    expect([0, 1].map((query) => isOpen(scores, 2, query))).toEqual([false, true]);
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
    const { sharp, rows } = effectOf(Float32Array.of(0.95, 0, 0.25, 0.75), scores, 2);
    expect(sharp).toBe(1);
    expect(rows[0]?.sum).toBeCloseTo(0.95);
    expect(rows[0]?.lost).toBeCloseTo(0.05);
    expect(rows[1]).toMatchObject({ top: 0.75, topKey: 1, lost: 0 });
    expect(effectOf(Float32Array.of(0.9, 0.1, 0.25, 0.75), scores, 2).rows[0]?.masked).toBeCloseTo(0.1);
  });
});
