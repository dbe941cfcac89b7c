/** Before and after: one position of two runs, their chances and what each depth says. Everything is the server's; a chance
 * beyond the candidates that it lists is exp(logit − log_sum_exp) of the logit that it gives. */
import type { LensAnswer, NextAnswer, TokenAnswer } from '../../protocol/types';
import type { Trace } from '../../trace/trace';
import { decades } from '../stages/did/depth';

export interface Chance {
  token: TokenAnswer;
  before: number;
  after: number;
}

export interface Both {
  before: Trace;
  after: Trace;
  pos: number;
  /** likeliest before first; the followed token is among them */
  chances: Chance[];
  followed: Chance;
  first: { before: TokenAnswer; after: TokenAnswer };
}

const ASKED = 20;

export async function bothOf(before: Trace, after: Trace, pos: number, token: number | null, most = 6): Promise<Both> {
  const [was, is] = await Promise.all([before.next(pos, ASKED), after.next(pos, ASKED)]);
  const [a, b] = [was.candidates[0]?.token, is.candidates[0]?.token];
  if (!a || !b) throw new Error('There is nothing to compare after this position.');
  const ids = shownOf(was, is, token, most);
  const [left, right] = await Promise.all([chancesOf(before, was, ids), chancesOf(after, is, ids)]);
  const piece = (id: number): TokenAnswer =>
    before.pieces.get(id) ?? after.pieces.get(id) ?? { id, text: `#${id}`, display: `#${id}`, bytes: '', special: false };
  const chances = ids
    .map((id) => ({ token: piece(id), before: left.get(id) ?? NaN, after: right.get(id) ?? NaN }))
    .sort((x, y) => y.before - x.before || y.after - x.after);
  const followed = chances.find((each) => each.token.id === (token ?? a.id)) ?? chances[0];
  if (!followed) throw new Error('There is nothing to compare after this position.');
  return { before, after, pos, chances, followed, first: { before: a, after: b } };
}

/** The likeliest of either run, in turns, and the followed token. */
export function shownOf(was: NextAnswer, is: NextAnswer, token: number | null, most: number): number[] {
  const ids = new Set<number>(token === null ? [] : [token]);
  for (let rank = 0; rank < ASKED && ids.size < most; rank++) {
    for (const answer of [was, is]) {
      const id = answer.candidates[rank]?.token.id;
      if (id !== undefined && ids.size < most) ids.add(id);
    }
  }
  return [...ids];
}

async function chancesOf(trace: Trace, answer: NextAnswer, ids: readonly number[]): Promise<Map<number, number>> {
  const found = new Map(answer.candidates.map((each) => [each.token.id, each.probability]));
  const missing = ids.filter((id) => !found.has(id)).sort((x, y) => x - y);
  if (!missing.length || answer.log_sum_exp === null) return found;
  const logits = await trace.site('logits', { pos: answer.position, vocab: missing.join(',') });
  missing.forEach((id, i) => found.set(id, Math.exp((logits.data[i] ?? NaN) - (answer.log_sum_exp ?? NaN))));
  return found;
}

export interface DepthPair {
  name: string;
  before: number;
  after: number;
  /** on top there */
  says: { before: TokenAnswer | null; after: TokenAnswer | null };
}

/** One token's chance after each block, in either run. */
export async function lensOfBoth(before: Trace, after: Trace, pos: number, token: number): Promise<DepthPair[]> {
  const [was, is] = await Promise.all([before.lens(pos, [token], 1), after.lens(pos, [token], 1)]);
  return was.depths.map((depth, i) => ({
    name: depth.name,
    before: chanceAt(was, i), after: chanceAt(is, i),
    says: { before: depth.top[0]?.token ?? null, after: is.depths[i]?.top[0]?.token ?? null },
  }));
}

function chanceAt(answer: LensAnswer, depth: number): number {
  return answer.depths[depth]?.tokens[0]?.probability ?? NaN;
}

/** The decades of an axis that holds these chances. */
export function chanceAxis(chances: readonly number[]): { low: number; cut: boolean } {
  return decades(chances.map((probability) => ({ probability, name: '', block: null, logit: 0, rank: 0, says: null })));
}

/** "after block 3" for the row after block 3; the first row stands before all blocks. */
export function depthName(at: number): string {
  return at === 0 ? 'before the blocks' : `after block ${at - 1}`;
}
