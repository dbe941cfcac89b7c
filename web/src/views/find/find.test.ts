import { describe, expect, it } from 'vitest';
import type { AttributionAnswer, TokenAnswer } from '../../protocol/types';
import type { Tensor } from '../../trace/tensor';
import { byHabit, HABITS, headsByEffect, inAll, likelyFirst, positionsOf, strongestKey } from './find';

const part = (kind: string, block: number | null, head: number | null, value: number | null) => ({ name: '', kind, block, head, value });

describe('heads by effect', () => {
  const answer = {
    parts: [
      part('embed', null, null, 9), part('head', 0, 0, 0.5), part('head', 0, 1, -2), part('attn_bias', 0, null, 8), part('mlp', 0, null, 7),
      part('head', 1, 0, 3), part('head', 1, 1, -0.1), part('head', 2, 0, 0), part('head', 2, 1, null),
    ],
  } as unknown as AttributionAnswer;
  const named = (parts: { block: number; head: number }[]): string[] => parts.map((each) => `${each.block}.${each.head}`);
  it('largest first, the losses from their own end, nothing but heads', () => {
    const { added, took, total } = headsByEffect(answer, 6, 3);
    expect(named(added)).toEqual(['1.0', '0.0']);
    expect(named(took)).toEqual(['0.1', '1.1']);
    expect(total).toBe(5);
  });
  it('as many as asked for', () => {
    const { added, took } = headsByEffect(answer, 1, 1);
    expect(named(added)).toEqual(['1.0']);
    expect(named(took)).toEqual(['0.1']);
  });
});

it('a logit in three, closing as printed', () => {
  const { parts, total } = inAll({ logit: 12.345, blocks: [{ block: 0, attn: -1.004, mlp: 8.006 }, { block: 1, attn: 0.5, mlp: 4.333 }] });
  expect(parts.map((part) => [part.name, part.shown])).toEqual([['attention', '−0.50'], ['MLPs', '+12.34'], ['the rest', '+0.51']]);
  expect(total).toBe('12.35');
  expect(parts.map((part) => part.value).reduce((a, b) => a + b)).toBeCloseTo(12.345, 12);
});

describe('the key that a head looks at', () => {
  const rows = { shape: [2, 1, 4], data: Float32Array.from([0.6, 0.1, 0.3, 0, 0.2, 0.5, 0.3, 0]) } as unknown as Tensor;
  it('is the largest but the first, in the row of that head', () => {
    expect(strongestKey(rows, 0, 2)).toEqual({ key: 2, weight: Math.fround(0.3) });
    expect(strongestKey(rows, 1, 2)).toEqual({ key: 1, weight: 0.5 });
  });
  it('is the first where there is no other', () => expect(strongestKey(rows, 0, 0)).toEqual({ key: 0, weight: Math.fround(0.6) }));
  it('never lies ahead of the query', () => {
    const ahead = { shape: [1, 1, 3], data: Float32Array.from([0.1, 0.2, 0.7]) } as unknown as Tensor;
    expect(strongestKey(ahead, 0, 1)?.key).toBe(1);
  });
});

it('heads by habit: the strongest first, those without a score left out', () => {
  const head = (block: number, induction: number) => ({ block, induction, previous_token: 0, duplicate_token: 0, first_token: 0 });
  expect(byHabit([head(0, 0.1), head(1, 0.9), head(2, NaN), head(3, 0.4)], 'induction', 2).map((each) => each.block)).toEqual([1, 3]);
  expect(new Set(HABITS.map((habit) => habit.id)).size).toBe(4);
});

describe('positions of a piece', () => {
  const tokens = [[' Peace', '·Peace', '2050'], ['.', '.', '2e'], [' pe', '·pe', '207065'], ['\n', '↵', '0a']].map(
    ([text, display, bytes], id) => ({ id: id + 40, text, display, bytes, special: false }) as TokenAnswer,
  );
  it.each([['peace', [0]], ['PE', [0, 2]], ['·pe', [0, 2]], [' pe', [0, 2]], [' e', []], ['41', [1]], ['0A', [3]], ['↵', [3]], ['', []], ['  ', []]])(
    '“%s” is at %j', (query, found) => expect(positionsOf(tokens, query)).toEqual(found),
  );
});

it('what was asked for first, then by chance', () => {
  const of = (text: string, id: number, chance: number) => ({ token: { text, id } as TokenAnswer, chance });
  const found = [of('peat', 1, 0.1), of(' pea', 2, 0.001), of(' peace', 3, 0.4), of('Pea', 4, 0.002)];
  expect(likelyFirst(found, 'pea').map((each) => each.token.id)).toEqual([4, 2, 3, 1]);
  expect(likelyFirst(found, '1').map((each) => each.token.id)).toEqual([1, 3, 4, 2]);
});
