/** What the Find panel computes: order, and which pieces are meant. Every number is the server's. */
import { minus } from '../../charts/format';
import type { AttributionAnswer, AttributionPart, TokenAnswer } from '../../protocol/types';
import type { Tensor } from '../../trace/tensor';

export type HeadPart = AttributionPart & { block: number; head: number; value: number };

/** The heads that added most to a logit, largest first; and those that took most from it, the largest loss first. */
export function headsByEffect(answer: AttributionAnswer, most: number, least: number): { added: HeadPart[]; took: HeadPart[]; total: number } {
  const heads = answer.parts
    .filter((part): part is HeadPart => part.kind === 'head' && part.block !== null && part.head !== null && part.value !== null)
    .sort((a, b) => b.value - a.value);
  return {
    added: heads.filter((part) => part.value > 0).slice(0, most),
    took: heads.filter((part) => part.value < 0).slice(-least).reverse(),
    total: heads.length,
  };
}

export interface Share {
  name: string;
  value: number;
  shown: string;
}

/** A logit in three: what attention and what the MLPs wrote in all blocks, and the rest (embedding, the last norm's offset). Closes
 * as printed. */
export function inAll(answer: Pick<AttributionAnswer, 'blocks' | 'logit'>): { parts: Share[]; total: string } {
  const sum = (part: 'attn' | 'mlp'): number => answer.blocks.reduce((all, block) => all + (block[part] ?? NaN), 0);
  const [logit, attention, mlps] = [answer.logit ?? NaN, sum('attn'), sum('mlp')];
  const cents = [attention, mlps].map((value) => Math.round(100 * value));
  const total = Math.round(100 * logit);
  const write = (each: number): string => minus((each / 100).toFixed(2).replace(/^-(0\.00)$/, '$1'));
  const part = (name: string, value: number, each: number): Share => ({ name, value, shown: `${each > 0 ? '+' : ''}${write(each)}` });
  return {
    parts: [
      part('attention', attention, cents[0] ?? NaN), part('MLPs', mlps, cents[1] ?? NaN),
      part('the rest', logit - attention - mlps, total - (cents[0] ?? NaN) - (cents[1] ?? NaN)),
    ],
    total: write(total),
  };
}

export interface Looked {
  key: number;
  weight: number;
}

/** The key with the largest weight in a pattern's row; position 0, which often takes what a head does not need, is set
 * aside where there is another one. `rows`: [head, 1, k_pos] of one block; `at`: the query's position. */
export function strongestKey(rows: Tensor, row: number, at: number): Looked | null {
  const keys = rows.shape.at(-1) ?? 0;
  let best: Looked | null = null;
  for (let key = at > 0 ? 1 : 0; key < Math.min(keys, at + 1); key++) {
    const weight = rows.data[row * keys + key] ?? NaN;
    if (!best || weight > best.weight) best = { key, weight };
  }
  return best;
}

/** A habit of a head, as the detectors score it. */
export interface Habit<Key extends string = string> {
  id: Key;
  title: string;
  says: string;
}

export const HABITS = [
  { id: 'induction', title: 'What came after it last time', says: 'Looks for the same piece earlier, at the one that followed: a pair seen once can be repeated (induction).' },
  { id: 'duplicate_token', title: 'The same piece earlier', says: 'Looks at where the same piece stood before.' },
  { id: 'previous_token', title: 'The piece before', says: 'Looks one position back.' },
  { id: 'first_token', title: 'The first piece', says: 'Rests on the first position, where little is to be read (an attention sink).' },
] as const satisfies readonly Habit[];

export type HabitId = (typeof HABITS)[number]['id'];

/** The heads in which a habit is strongest. */
export function byHabit<Head extends Record<HabitId, number>>(heads: readonly Head[], habit: HabitId, most: number): Head[] {
  return heads.filter((head) => Number.isFinite(head[habit])).sort((a, b) => b[habit] - a[habit]).slice(0, most);
}

/** Positions whose piece is meant: its text in any case, as it is or as it is shown, its number, or its bytes in hexadecimal. */
export function positionsOf(tokens: readonly TokenAnswer[], query: string): number[] {
  const asked = query.trim().toLowerCase();
  if (!asked) return [];
  const found: number[] = [];
  tokens.forEach((token, at) => {
    const texts = [token.text, token.display].map((text) => text.toLowerCase());
    const wanted = query.startsWith(' ') ? ` ${asked}` : asked;
    if (texts.some((text) => text.includes(wanted)) || String(token.id) === asked || token.bytes.toLowerCase() === asked) found.push(at);
  });
  return found;
}

/** Pieces that are what was asked for come first, the others by their chance. */
export function likelyFirst<Found extends { token: TokenAnswer; chance: number }>(found: readonly Found[], query: string): Found[] {
  const asked = query.trim().toLowerCase();
  const exact = (each: Found): boolean => each.token.text.trim().toLowerCase() === asked || String(each.token.id) === asked;
  return [...found].sort((a, b) => Number(exact(b)) - Number(exact(a)) || b.chance - a.chance);
}
