import { describe, expect, it } from 'vitest';
import type { AttributionAnswer, LensAnswer } from '../../../protocol/types';
import { addedOf, chanceName, decadeName, decades, depthsOf, ledger, ordinal, rankLabels, strongest, ticksOf, type Depth } from './depth';

const depth = (probability: number, rank: number): Depth => ({ name: '', block: null, logit: 0, probability, rank, says: null });
const token = { id: 7, text: ' a', display: '·a', bytes: '2061', special: false };

const attribution: AttributionAnswer = {
  token, against: null, position: 4, logit: 3.005,
  parts: [
    { name: 'embed', kind: 'embed', block: null, head: null, value: 0.5 },
    { name: 'pos_embed', kind: 'pos_embed', block: null, head: null, value: -0.25 },
    { name: 'blocks.0.attn.result', kind: 'head', block: 0, head: 0, value: 1 },
    { name: 'blocks.0.attn.result', kind: 'head', block: 0, head: 1, value: -2 },
    { name: 'blocks.0.attn.b_O', kind: 'attn_bias', block: 0, head: null, value: 9 },
    { name: 'blocks.0.mlp_out', kind: 'mlp', block: 0, head: null, value: 0.125 },
    { name: 'ln_final.b', kind: 'norm_bias', block: null, head: null, value: -5.4 },
  ],
  blocks: [{ block: 0, attn: 8, mlp: 0.125 }],
  remainder: 0.03,
  note: '',
};

describe('depthsOf', () => {
  it('follows one token through every depth', () => {
    const lens: LensAnswer = {
      position: 1, note: '',
      depths: [
        { name: 'blocks.0.resid_pre', tokens: [{ id: 3, logit: 1, probability: 0.5, rank: 0 }, { id: 7, logit: -2, probability: 0.1, rank: 4 }], top: [] },
        { name: 'blocks.0.resid_post', tokens: [{ id: 7, logit: 2, probability: 0.9, rank: 0 }], top: [{ token, probability: 0.9, logit: 2 }] },
      ],
    };
    const found = depthsOf(lens, 7);
    expect(found.map((each) => [each.block, each.rank, each.probability])).toEqual([[null, 4, 0.1], [0, 0, 0.9]]);
    expect(found[1]?.says?.token.display).toBe('·a');
  });
});

describe('the axis of chances', () => {
  it('spans whole decades and cuts what is far below', () => {
    expect(decades([depth(0.4, 0), depth(0.0003, 9)])).toEqual({ low: -4, cut: false });
    expect(decades([depth(0.4, 0), depth(2e-33, 9)])).toEqual({ low: -8, cut: true });
    expect(decades([depth(0.4, 0), depth(0, 9)])).toEqual({ low: -2, cut: true });
  });
  it('has few ticks with short names', () => {
    expect(ticksOf(-10, 5)).toEqual([0, -2, -4, -6, -8, -10]);
    expect(ticksOf(-3, 5)).toEqual([0, -2]);
    expect([0, -1, -2, -3, -4, -6, -10].map(decadeName)).toEqual(['100%', '10%', '1%', '0.1%', '0.01%', '10⁻⁶', '10⁻¹⁰']);
  });
});

describe('chanceName', () => {
  it('writes what is far below a percent as a power', () => {
    expect([0.4, 0.0005, 3.14e-9, 0].map(chanceName)).toEqual(['40%', '0.050%', '3.1×10⁻⁹', '0%']);
  });
});

describe('ranks', () => {
  it('are counted as people count', () => {
    expect([1, 2, 3, 4, 11, 12, 13, 22, 111, 38943].map(ordinal)).toEqual(
      ['1st', '2nd', '3rd', '4th', '11th', '12th', '13th', '22nd', '111th', '38,943rd'],
    );
  });
  it('are written where the token comes to stay on top, never two on one place', () => {
    const ranks = [900, 40, 1, 3, 1, 1, 1].map((rank) => depth(0.1, rank));
    expect(rankLabels(ranks, 2)).toEqual([0, 4, 6]);
    expect(rankLabels(ranks, 3)).toEqual([0, 6]);
  });
});

describe('addedOf and ledger', () => {
  const added = addedOf(attribution, 2);
  it('keeps heads by block, and takes attention with its bias', () => {
    expect(added).toEqual({ embed: 0.25, attn: [8], mlp: [0.125], after: -5.4, heads: [[1], [-2]] });
  });
  it('closes as printed', () => {
    const { entries, total } = ledger(added, 3.005);
    expect(entries.map((each) => each.shown)).toEqual(['0.25', '8.00', '0.13', '−5.40', '0.03']);
    const units = entries.reduce((sum, each) => sum + Math.round(100 * Number(each.shown.replace('−', '-'))), 0);
    expect(units).toBe(Math.round(100 * Number(total)));
    expect(entries.at(-1)?.label).toBe('remainder and rounding');
  });
  it('names the parts that added most', () => {
    expect(strongest(attribution, 2).map((part) => [part.kind, part.head])).toEqual([['head', 1], ['head', 0]]);
  });
});
