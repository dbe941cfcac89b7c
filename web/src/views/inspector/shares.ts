/** A softmax as its keys: the score of each, e^(score − max), and what they come to. Pure. */
import { short } from '../../charts/format';
import type { ExplainAnswer } from '../../protocol/types';
import { CLOSING, indexOfValue, numbers } from './live';

export interface Share {
  key: number;
  score: number;
  /** where the score stands */
  index: number[];
  /** e^(score − max), as written */
  power: string;
}

export interface Shares {
  site: string;
  /** largest first; the pinned key is always among them */
  rows: Share[];
  /** unmasked keys that are not listed, and masked ones */
  rest: { count: number; power: string };
  masked: number;
  max: number;
  sum: string;
  own: string;
}

const MOST = 8;

/** null where the number is no softmax of its input, so that nothing is shown which does not close. */
export function sharesOf(answer: ExplainAnswer): Shares | null {
  const [input] = answer.inputs;
  const target = answer.result;
  if (!answer.site.endsWith('attn.pattern') || !input || target === null || input.values.length < 2) return null;
  const scores = numbers(input);
  const max = Math.max(...scores);
  if (!Number.isFinite(max)) return null;
  const powers = scores.map((score) => Math.exp(score - max));
  const total = powers.reduce((sum, power) => sum + power, 0);
  const pinned = answer.index.at(-1) ?? 0;
  const keys = scores.map((_, i) => indexOfValue(input, i).at(-1) ?? i);
  const own = keys.indexOf(pinned);
  if (own < 0 || Math.abs((powers[own] ?? 0) / total - target) > 1e-4) return null;

  const open = keys.map((_, i) => i).filter((i) => scores[i] !== -Infinity);
  const order = [...open].sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0) || a - b);
  const listed = order.slice(0, MOST);
  if (!listed.includes(own)) {
    if (scores[own] !== -Infinity && listed.length === MOST) listed.pop();
    listed.push(own);
  }
  const shown = open.filter((i) => listed.includes(i));
  const rest = open.length - shown.length;
  const restPower = order.filter((i) => !listed.includes(i)).reduce((sum, i) => sum + (powers[i] ?? 0), 0);
  return {
    site: input.name,
    rows: listed.map((i) => ({ key: keys[i] ?? i, score: scores[i] ?? NaN, index: indexOfValue(input, i), power: short(powers[i]) })),
    rest: { count: rest, power: short(restPower) },
    masked: keys.length - open.length - (scores[own] === -Infinity ? 1 : 0),
    max, sum: short(total, CLOSING), own: short(powers[own], CLOSING),
  };
}
