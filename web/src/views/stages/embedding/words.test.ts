import { describe, expect, it } from 'vitest';
import type { TokenAnswer, TokenizeAnswer } from '../../../protocol/types';
import { firstTwins, rowOf, twinOf } from './words';

const token = (id: number, text: string): TokenAnswer => ({ id, text, display: text.replace(' ', '·'), bytes: '', special: false });
const table: Record<string, TokenAnswer[]> = {
  ' king': [token(7, ' king')],
  ' xy': [token(1, ' x'), token(2, 'y')],
  xy: [token(3, 'xy')],
  ' zzz': [token(4, ' z'), token(5, 'zz')],
  zzz: [token(6, 'z'), token(5, 'zz')],
};
const tokenize = (text: string): Promise<TokenizeAnswer> => Promise.resolve({ tokens: table[text] ?? [], words: [], first: 0 });

describe('the row of a word', () => {
  it('is that of the word inside a sentence', async () => {
    expect(await rowOf('king', tokenize)).toEqual({ token: token(7, ' king') });
  });

  it('is that of the word as typed where a space before it makes more pieces', async () => {
    expect(await rowOf('xy', tokenize)).toEqual({ token: token(3, 'xy') });
  });

  it('says why there is none', async () => {
    const row = await rowOf('zzz', tokenize);
    expect('problem' in row && row.problem).toContain('“zzz” is 2 pieces here (·z zz)');
    expect(await rowOf('  ', tokenize)).toHaveProperty('problem');
  });
});

describe('equal pieces', () => {
  it('are found', () => {
    expect(twinOf([5, 8, 9, 5, 8], 4)).toBe(1);
    expect(twinOf([5, 8, 9], 1)).toBeNull();
    expect(firstTwins([5, 8, 9, 5, 8])).toEqual([0, 3]);
    expect(firstTwins([1, 2])).toBeNull();
  });
});
