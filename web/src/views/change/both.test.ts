import { describe, expect, it } from 'vitest';
import type { NextAnswer } from '../../protocol/types';
import { Trace } from '../../trace/trace';
import { bothOf, shownOf } from './both';
import { joined, sentencesOf } from './others';

/** A run whose chances are those of `logits`, of which the server lists the first `listed`. */
function run(logits: Record<number, number>, listed: number): Trace {
  const sum = Math.log(Object.values(logits).reduce((all, each) => all + Math.exp(each), 0));
  const candidates = Object.entries(logits)
    .map(([id, logit]) => ({ token: { id: Number(id), text: id, display: id, bytes: '', special: false }, logit, probability: Math.exp(logit - sum) }))
    .sort((a, b) => b.logit - a.logit)
    .slice(0, listed);
  const pieces = new Map(candidates.map((each) => [each.token.id, each.token]));
  const next = { position: 4, candidates, log_sum_exp: sum } as unknown as NextAnswer;
  const site = (_: string, at: { vocab: string }): unknown => ({ data: Float32Array.from(at.vocab.split(',').map((id) => logits[Number(id)] ?? NaN)) });
  return { pieces, next: () => Promise.resolve(next), site: (name: string, at: never) => Promise.resolve(site(name, at)) } as unknown as Trace;
}

describe('before and after', () => {
  const before = run({ 1: 3, 2: 2, 3: 1, 4: 0 }, 2);
  const after = run({ 1: 0, 2: 2, 3: 1, 4: 3 }, 2);

  it('shows the likeliest of both, with chances that the lists do not hold', async () => {
    const both = await bothOf(before, after, 4, null);
    expect(both.chances.map((each) => each.token.id)).toEqual([1, 2, 4]);
    const [first] = both.chances;
    const sum = Math.exp(3) + Math.exp(2) + Math.exp(1) + 1;
    expect(first?.before).toBeCloseTo(Math.exp(3) / sum, 6);
    expect(first?.after).toBeCloseTo(1 / sum, 6);
    expect(both.first.before.id).toBe(1);
    expect(both.first.after.id).toBe(4);
    expect(both.followed.token.id).toBe(1);
  });

  it('has the followed token among them', async () => {
    const both = await bothOf(before, after, 4, 3, 2);
    expect(both.chances).toHaveLength(2);
    expect(both.followed.token.id).toBe(3);
    expect(shownOf(await before.next(4), await after.next(4), 3, 2)).toEqual([3, 1]);
  });
});

it('one or two sentences beside', () => {
  expect(sentencesOf(null)).toEqual([]);
  expect(sentencesOf('a\nb\nc')).toEqual(['a', 'b']);
  expect(joined(['a', '', 'b\nc'])).toBe('a\nb c');
  expect(joined(['', ''])).toBeNull();
});
