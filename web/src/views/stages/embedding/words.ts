/** From a typed word to the row of the table that stands for it: one piece, or a sentence that says why not. Pure but
 * for the tokenizer that it is given. */
import type { TokenAnswer, TokenizeAnswer } from '../../../protocol/types';

export type Row = { token: TokenAnswer } | { problem: string };

/** As inside a sentence, with a space before it, where that is one piece; else as it was typed. */
export async function rowOf(word: string, tokenize: (text: string) => Promise<TokenizeAnswer>): Promise<Row> {
  const typed = word.trim();
  if (!typed) return { problem: 'Write a word in each of the three.' };
  let spaced: TokenAnswer[] = [];
  for (const text of word === typed ? [` ${typed}`, typed] : [word]) {
    const { tokens } = await tokenize(text);
    const [only] = tokens;
    if (only && tokens.length === 1) return { token: only };
    if (!spaced.length) spaced = tokens;
  }
  const pieces = spaced.map((token) => token.display).join(' ');
  return { problem: `“${typed}” is ${spaced.length} pieces here (${pieces}), so no single row stands for it. Try a more common word.` };
}

/** The first other position with the same piece as `pos`: null where there is none. */
export function twinOf(ids: readonly number[], pos: number): number | null {
  const found = ids.findIndex((id, i) => i !== pos && id === ids[pos]);
  return found < 0 ? null : found;
}

/** The first two positions with one piece in common. */
export function firstTwins(ids: readonly number[]): [number, number] | null {
  for (let i = 0; i < ids.length; i++) {
    const twin = ids.indexOf(ids[i] ?? -1, i + 1);
    if (twin > 0) return [i, twin];
  }
  return null;
}
