import { describe, expect, it } from 'vitest';
import { align, alignOnce, partner, type Piece } from './align';

const ids = new Map<string, number>();
function pieces(text: string): Piece[] {
  return text.split(/(?= )/).map((each) => {
    if (!ids.has(each)) ids.set(each, ids.size);
    return { id: ids.get(each) ?? -1, text: each };
  });
}

function shown(a: string, b: string): string[] {
  const [left, right] = [pieces(a), pieces(b)];
  return align(left, right).map((row) => `${row.a === null ? '' : left[row.a]?.text.trim()}${row.same ? '=' : '|'}${row.b === null ? '' : right[row.b]?.text.trim()}`);
}

describe('align', () => {
  it('is made once for two sentences, whoever asks', () => {
    const [a, b] = [pieces('a big house'), pieces('a house')];
    expect(alignOnce(a, b)).toEqual(align(a, b));
    expect(alignOnce(a, b)).toBe(alignOnce(a, b));
  });
  it('of two long texts is found at once', () => {
    const long = pieces(Array.from({ length: 3000 }, (_, i) => (i % 7 ? 'the' : `word${i}`)).join(' '));
    const other = long.filter((_, i) => i % 50 !== 3);
    const rows = align(long, other);
    expect(rows.filter((row) => row.same).length).toBe(other.length);
    expect(rows.filter((row) => row.b === null).length).toBe(long.length - other.length);
  });
  it('puts what is the same side by side, and what differs opposite', () => {
    expect(shown('The robots will bring peace today', 'The robots will bring war today')).toEqual(['The=The', 'robots=robots', 'will=will', 'bring=bring', 'peace|war', 'today=today']);
  });
  it('leaves a gap for what is more', () => {
    expect(shown('a big red house', 'a house')).toEqual(['a=a', 'big|', 'red|', 'house=house']);
    expect(shown('a house', 'a big red house')).toEqual(['a=a', '|big', '|red', 'house=house']);
  });
  it('prefers the longer word where only one of two can be matched', () => {
    expect(shown('One mole of carbon', 'Take a biopsy of the mole')).toContain('mole=mole');
  });
  it('puts a word beside itself without its space', () => {
    expect(shown('mole is', 'The mole is')).toEqual(['|The', 'mole|mole', 'is=is']);
  });
  it('each place once, in order', () => {
    const [a, b] = [pieces('x y z y x w'), pieces('y x x z w w y')];
    const rows = align(a, b);
    expect(rows.map((row) => row.a).filter((at) => at !== null)).toEqual(a.map((_, i) => i));
    expect(rows.map((row) => row.b).filter((at) => at !== null)).toEqual(b.map((_, i) => i));
  });
  it('of nothing is nothing', () => {
    expect(align([], [])).toEqual([]);
    expect(align(pieces('a'), [])).toEqual([{ a: 0, b: null, same: false }]);
  });
});

describe('partner', () => {
  it('is the same piece, even where the alignment could not have it', () => {
    const [a, b] = [pieces('One mole of carbon'), pieces('Take a biopsy of the mole')];
    const rows = align(a, b);
    expect(partner(rows, a, b, 1)).toBe(5);
    expect(partner(rows, a, b, 2)).toBe(3);
  });
  it('is what stands opposite, or nothing', () => {
    const [a, b] = [pieces('bring peace now'), pieces('bring war now')];
    expect(partner(align(a, b), a, b, 1)).toBe(1);
    const [c, d] = [pieces('a big house'), pieces('a house')];
    expect(partner(align(c, d), c, d, 1)).toBeNull();
  });
});
