import { describe, expect, it } from 'vitest';
import type { MergeAnswer, TokenAnswer, WordAnswer } from '../../../protocol/types';
import { placeWords, rowsOf, spacedBytes, wholeCharacters } from './merges';

const token = (text: string, id = 0): TokenAnswer => ({ id, text, display: text, bytes: '', special: false });
const merge = (left: string, right: string, at: number): MergeAnswer => ({
  left: token(left), right: token(right), result: token(left + right), rank: 0, at,
});
const word = (start: string, merges: MergeAnswer[], tokens: number[]): WordAnswer => ({
  text: start, start: [...start].map((each) => token(each)), merges, tokens, whole: false,
});
// as SmolLM2 cuts it: [em][powers]
const EMPOWERS = word(
  'empowers',
  [merge('e', 'r', 5), merge('o', 'w', 3), merge('er', 's', 5), merge('e', 'm', 0), merge('p', 'ow', 2), merge('pow', 'ers', 2)],
  [391, 33448],
);

describe('merges as rows', () => {
  it('stands after each step', () => {
    const rows = rowsOf(EMPOWERS).map((row) => row.map((segment) => segment.token.text).join(' '));
    expect(rows).toEqual([
      'e m p o w e r s', 'e m p o w er s', 'e m p ow er s', 'e m p ow ers', 'em p ow ers', 'em pow ers', 'em powers',
    ]);
  });

  it('covers every column once, and marks only what the step made', () => {
    for (const [i, row] of rowsOf(EMPOWERS).entries()) {
      expect(row[0]?.from).toBe(0);
      expect(row.at(-1)?.to).toBe(8);
      row.slice(1).forEach((segment, k) => expect(segment.from).toBe(row[k]?.to));
      expect(row.filter((segment) => segment.fresh)).toHaveLength(i ? 1 : 0);
    }
  });
});

describe('words among the tokens', () => {
  const words = [EMPOWERS, word(' the', [], [260])];
  it('are found behind what a tokenizer puts first', () => {
    expect(placeWords(words, [1, 391, 33448, 260]).map(({ from, to }) => [from, to])).toEqual([[1, 3], [3, 4]]);
  });

  it('are none where the tokens are not of this text', () => expect(placeWords(words, [391, 260])).toEqual([]));
});

it('writes bytes apart', () => expect(spacedBytes('e28099')).toBe('E2 80 99'));

it('knows a part of a character from a whole one', () => expect(['e28099', '20f09f', 'a6', '61', ''].map(wholeCharacters)).toEqual([true, false, false, true, true]));
