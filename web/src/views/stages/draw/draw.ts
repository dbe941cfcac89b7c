/** What the draw's pictures need, from the answer of `next`. Pure. */
import { short } from '../../../charts/format';
import type { CandidateAnswer, CumulativeSlice, DrawAnswer, NextAnswer } from '../../../protocol/types';
import type { Sampling } from '../../../state/address';

export type Filter = 'top_k' | 'top_p' | 'min_p';
export const FILTERS: readonly { id: Filter; name: string }[] = [
  { id: 'top_k', name: 'top-k' },
  { id: 'top_p', name: 'top-p' },
  { id: 'min_p', name: 'min-p' },
];

/** The filters that can remove anything, as they are set. */
export function filtersOn(sampling: Sampling): Filter[] {
  if (sampling.temperature === 0) return [];
  return FILTERS.map((each) => each.id).filter((id) => {
    const setting = sampling[id];
    return setting !== null && !(id === 'top_p' && setting === 1) && !(id === 'min_p' && setting === 0);
  });
}

/** The filter that removed a candidate; null: none did. */
export function removedBy(candidate: CandidateAnswer): Filter | null {
  if (!candidate.kept_top_k) return 'top_k';
  if (!candidate.kept_top_p) return 'top_p';
  return candidate.kept_min_p ? null : 'min_p';
}

/** A number of the line from 0 to 1: four decimals, and more where three digits need them, near either end. */
export function onLine(at: number, least = 4): string {
  const edge = Math.min(at, 1 - at);
  const places = edge > 0 ? 2 - Math.floor(Math.log10(edge)) : least;
  return at.toFixed(Math.min(12, Math.max(least, places)));
}

/** Decimals with which all these stretches can be told apart. */
export function placesFor(slices: readonly { low: number; high: number }[]): number {
  const narrowest = Math.min(1, ...slices.map((slice) => slice.high - slice.low).filter((wide) => wide > 0));
  return Math.min(6, Math.max(4, 1 + Math.ceil(-Math.log10(narrowest))));
}

/** A part of the number line. Without a slice: tokens that the answer does not list. */
export interface Segment {
  low: number;
  high: number;
  slice: CumulativeSlice | null;
}

export function segments(draw: DrawAnswer): Segment[] {
  const found: Segment[] = [];
  let edge = 0;
  for (const slice of [...draw.cumulative].sort((a, b) => a.low - b.low)) {
    if (slice.low > edge) found.push({ low: edge, high: slice.low, slice: null });
    found.push({ low: slice.low, high: slice.high, slice });
    edge = Math.max(edge, slice.high);
  }
  if (edge < 1) found.push({ low: edge, high: 1, slice: null });
  return found;
}

/** The stretch around the draw that is drawn again, enlarged; null where the chosen part is wide enough as it is.
 *
 * It is made of the chosen part and its neighbours, as many as are not wider than eight times it. */
export function enlarged(draw: DrawAnswer, enough: number): { low: number; high: number; times: number } | null {
  const all = segments(draw);
  const at = all.findIndex((each) => each.slice?.token.id === draw.token.id);
  const own = all[at];
  if (!own || own.high - own.low >= enough || own.high <= own.low) return null;
  const most = 8 * (own.high - own.low);
  const fits = (each: Segment | undefined): each is Segment => each?.slice != null && each.high - each.low <= most;
  let [from, to] = [at, at];
  while (at - from < 3 && fits(all[from - 1])) from--;
  while (to - at < 3 && fits(all[to + 1])) to++;
  const low = all[from]?.low ?? 0;
  const high = all[to]?.high ?? 1;
  return { low, high, times: 1 / (high - low) };
}

/** The chain of one candidate with its own numbers, as LaTeX. */
export function formula(candidate: CandidateAnswer, next: NextAnswer, sampling: Sampling): string {
  const { logit, scaled, final } = candidate;
  if (sampling.temperature === 0) return `\\text{temperature } 0:\\ \\text{the largest of } ${grouped(next.n_vocab)}\\text{ logits},\\ ${tex(next.max_logit)}`;
  const divided = sampling.temperature === 1 ? tex(scaled) : `\\frac{${tex(logit)}}{${sampling.temperature}} = ${tex(scaled)}`;
  const removed = removedBy(candidate);
  if (removed) return `${divided} \\;\\to\\; -\\infty \\;\\to\\; e^{-\\infty} = 0`;
  // ln of the sum of what is left: its share is e^(scaled − ln Σ)
  const sum = (scaled ?? NaN) - Math.log(final);
  return `${divided},\\quad \\frac{e^{${tex(scaled)}}}{\\sum_{${grouped(next.kept.min_p)}} e^{\\ell}} = e^{\\,${tex(scaled)}-${sum < 0 ? `(${tex(sum)})` : tex(sum)}} = ${texPercent(final)}`;
}

function tex(value: number | null): string {
  return short(value).replace('−', '-').replace(/,/g, '{,}').replace('∞', '\\infty');
}

function texPercent(share: number): string {
  if (share >= 0.0001) return `${(100 * share).toPrecision(3).replace(/\.0+$/, '')}\\%`;
  const [mantissa, power] = share.toExponential(1).split('e');
  return `${mantissa} \\times 10^{${Number(power)}}`;
}

function grouped(count: number): string {
  return count.toLocaleString('en').replace(/,/g, '{,}');
}

/** What the sentence under the line says. `of`: the share of draws that would take the likeliest. */
export interface Why {
  kind: 'greedy' | 'likeliest' | 'another';
  best: CandidateAnswer;
  chosen: CandidateAnswer;
  slice: CumulativeSlice | null;
}

export function why(next: NextAnswer): Why | null {
  const best = [...next.candidates].sort((a, b) => a.rank - b.rank)[0];
  const chosen = next.candidates.find((each) => each.token.id === next.chosen.id);
  if (!best || !chosen) return null;
  if (!next.draw) return { kind: 'greedy', best, chosen, slice: null };
  const slice = next.draw.cumulative.find((each) => each.token.id === chosen.token.id) ?? null;
  return { kind: best === chosen ? 'likeliest' : 'another', best, chosen, slice };
}

/** "1 draw in 25", for a share that a percentage would only round away. */
export function oneIn(share: number): string {
  if (share <= 0) return 'never';
  const n = 1 / share;
  return n < 2 ? `${Math.round(share * 100)} draws in 100` : `1 draw in ${Math.round(n < 1000 ? n : Number(n.toPrecision(2))).toLocaleString('en')}`;
}
