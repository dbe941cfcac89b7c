import { describe, expect, it } from 'vitest';
import type { CandidateAnswer, DrawAnswer, NextAnswer } from '../../../protocol/types';
import { PLAIN } from '../../../state/address';
import { enlarged, filtersOn, formula, oneIn, onLine, placesFor, removedBy, segments, why } from './draw';

const token = (id: number) => ({ id, text: String(id), display: String(id), bytes: '', special: false });
const slice = (id: number, low: number, high: number) => ({ token: token(id), low, high });
const candidate = (id: number, rank: number, extra: Partial<CandidateAnswer> = {}): CandidateAnswer => ({
  token: token(id), rank, logit: 4, probability: 0.5, scaled: 2, kept_top_k: true, kept_top_p: true, kept_min_p: true, final: 0.25, ...extra,
});
const draw: DrawAnswer = { u: 0.905, token: token(9), cumulative: [slice(1, 0, 0.5), slice(2, 0.5, 0.7), slice(8, 0.899, 0.904), slice(9, 0.904, 0.908), slice(10, 0.908, 0.911)] };
const next: NextAnswer = {
  position: 3, candidates: [candidate(1, 0, { final: 0.5 }), candidate(2, 1), candidate(9, 40, { final: 0.004 })],
  kept: { top_k: 50000, top_p: 50000, min_p: 1234 }, n_vocab: 50000, max_logit: 4, log_sum_exp: 5, chosen: token(9), draw,
};

describe('the number line', () => {
  it('covers 0 to 1 without a gap; what is not listed is a part without a token', () => {
    const parts = segments(draw);
    expect(parts[0]?.low).toBe(0);
    expect(parts.at(-1)?.high).toBe(1);
    parts.slice(1).forEach((part, i) => expect(part.low).toBe(parts[i]?.high));
    expect(parts.map((part) => part.slice?.token.id ?? null)).toEqual([1, 2, null, 8, 9, 10, null]);
  });
  it('enlarges a narrow draw with its narrow neighbours alone', () => {
    expect(enlarged(draw, 0.03)).toEqual({ low: 0.899, high: 0.911, times: 1 / (0.911 - 0.899) });
    expect(enlarged(draw, 0.003)).toBeNull();
    expect(enlarged({ ...draw, token: token(1) }, 0.03)).toBeNull();
  });
});

describe('filters', () => {
  it('are on when they can remove anything', () => {
    expect(filtersOn({ ...PLAIN.sampling, top_k: 5, top_p: 1, min_p: 0 })).toEqual(['top_k']);
    expect(filtersOn({ ...PLAIN.sampling, temperature: 0, top_k: 5 })).toEqual([]);
  });
  it('names the first that removed a candidate', () => {
    expect(removedBy(candidate(1, 0))).toBeNull();
    expect(removedBy(candidate(1, 0, { kept_top_p: false, kept_min_p: false }))).toBe('top_p');
  });
});

describe('formula', () => {
  const sampling = { ...PLAIN.sampling, temperature: 2 };
  it('divides, and takes the share of what is left', () => {
    const latex = formula(candidate(1, 0), next, sampling);
    expect(latex).toContain('\\frac{4.00}{2} = 2.00');
    // ln Σ = 2 − ln 0.25
    expect(latex).toContain('e^{\\,2.00-3.39} = 25\\%');
    expect(latex).toContain('1{,}234');
  });
  it('says that a removed one has no chance', () => {
    expect(formula(candidate(1, 0, { kept_top_k: false, final: 0 }), next, sampling)).toContain('e^{-\\infty} = 0');
  });
});

describe('why', () => {
  it('tells the likeliest, another, and no draw apart', () => {
    expect(why(next)).toMatchObject({ kind: 'another', best: { rank: 0 }, chosen: { rank: 40 }, slice: { low: 0.904 } });
    expect(why({ ...next, chosen: token(1) })?.kind).toBe('likeliest');
    expect(why({ ...next, chosen: token(1), draw: null })?.kind).toBe('greedy');
  });
  it('counts draws', () => {
    expect([0.81, 0.04, 0.000123, 0].map(oneIn)).toEqual(['81 draws in 100', '1 draw in 25', '1 draw in 8,100', 'never']);
  });
});

describe('numbers on the line', () => {
  it('keep three digits near either end', () => {
    expect([0.5, 0.01234, 0.000012345, 0.99996, 0, 1].map((at) => onLine(at))).toEqual(['0.5000', '0.0123', '0.0000123', '0.9999600', '0.0000', '1.0000']);
  });
  it('have decimals enough for the narrowest stretch, the same for all', () => {
    expect(placesFor([{ low: 0, high: 0.4 }, { low: 0.4, high: 0.5 }])).toBe(4);
    expect(placesFor([{ low: 0, high: 0.4 }, { low: 0.4, high: 0.4002 }])).toBe(5);
    expect(placesFor([])).toBe(4);
  });
});
