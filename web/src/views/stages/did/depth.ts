/** What the picture over depth needs, from the answers of `lens` and `attribution`. Pure. */
import { minus, percent, short } from '../../../charts/format';
import type { AttributionAnswer, AttributionPart, LensAnswer, LensTop } from '../../../protocol/types';

/** What a token would get if the model stopped here. Depth 0 stands before the first block. */
export interface Depth {
  name: string;
  /** null before the first block */
  block: number | null;
  logit: number;
  probability: number;
  /** 1 is the likeliest */
  rank: number;
  says: LensTop | null;
}

export function depthsOf(answer: LensAnswer, token: number): Depth[] {
  return answer.depths.map((depth, at) => {
    const found = depth.tokens.find((each) => each.id === token);
    return {
      name: depth.name,
      block: at === 0 ? null : at - 1,
      logit: found?.logit ?? NaN,
      probability: found?.probability ?? NaN,
      rank: found?.rank ?? NaN,
      says: depth.top[0] ?? null,
    };
  });
}

/** The decades of a chance's axis: never more than `most`, so that what is near 1 stays readable. */
export function decades(depths: readonly Depth[], most = 8): { low: number; cut: boolean } {
  const lowest = Math.min(0, ...depths.filter((each) => each.probability > 0).map((each) => Math.log10(each.probability)));
  const zero = depths.some((each) => each.probability === 0);
  const low = Math.min(-2, Math.max(-most, Math.floor(lowest)));
  return { low, cut: zero || lowest < low };
}

/** Ticks of a logarithmic axis from 10^low to 1, at most `most` + 1 of them. */
export function ticksOf(low: number, most: number): number[] {
  const step = Math.max(1, Math.ceil(-low / most / 2) * 2);
  return Array.from({ length: Math.floor(-low / step) + 1 }, (_, i) => 0 - i * step);
}

/** 1%, 0.01%, then 10⁻⁶: as short as can be. */
export function decadeName(exponent: number): string {
  if (exponent === 0) return '100%';
  if (exponent >= -4) return `${(100 * 10 ** exponent).toFixed(Math.max(0, -2 - exponent))}%`;
  return `10⁻${[...String(-exponent)].map((digit) => '⁰¹²³⁴⁵⁶⁷⁸⁹'[Number(digit)]).join('')}`;
}

/** A chance, however small: 40%, 0.041%, 3.1×10⁻⁹. */
export function chanceName(share: number): string {
  return share > 0 && share < 1e-4 ? short(share, 2) : percent(share);
}

/** Depths whose rank is written at the line: the last; the first from which it stays on top, or else its best; and
 * the first depth of all. None nearer than `apart` to another. */
export function rankLabels(depths: readonly Depth[], apart: number): number[] {
  const last = depths.length - 1;
  let stays = last;
  while (stays > 0 && depths[stays - 1]?.rank === 1) stays--;
  const best = depths.reduce((at, each, i) => (each.rank < (depths[at]?.rank ?? Infinity) ? i : at), 0);
  const wanted = [last, depths[last]?.rank === 1 ? stays : best, 0];
  return wanted.filter((at, i) => wanted.slice(0, i).every((other) => Math.abs(other - at) >= apart)).sort((a, b) => a - b);
}

/** 1 -> "1st", 22 -> "22nd", 12,345 -> "12,345th". */
export function ordinal(n: number): string {
  const tens = n % 100;
  const end = tens >= 11 && tens <= 13 ? 'th' : (['th', 'st', 'nd', 'rd'][n % 10] ?? 'th');
  return `${n.toLocaleString('en')}${end}`;
}

/** A logit as a sum over depth: what stood there before the blocks, each block's two parts, what came after. */
export interface Added {
  embed: number;
  attn: number[];
  mlp: number[];
  after: number;
  /** [head][block] */
  heads: number[][];
}

export function addedOf(answer: AttributionAnswer, nHead: number): Added {
  const of = (kinds: readonly string[]): AttributionPart[] => answer.parts.filter((part) => kinds.includes(part.kind));
  const heads = Array.from({ length: nHead }, () => answer.blocks.map(() => NaN));
  for (const part of of(['head'])) {
    const row = heads[part.head ?? -1];
    if (row && part.block !== null) row[part.block] = part.value ?? NaN;
  }
  return {
    embed: total(of(['embed', 'pos_embed'])),
    attn: answer.blocks.map((block) => block.attn ?? NaN),
    mlp: answer.blocks.map((block) => block.mlp ?? NaN),
    after: total(of(['norm_bias'])),
    heads,
  };
}

function total(parts: readonly AttributionPart[]): number {
  return parts.reduce((sum, part) => sum + (part.value ?? 0), 0);
}

export interface Entry {
  label: string;
  value: number;
  shown: string;
}

/** The sum in a line, closing as it is printed: what two decimals leave goes with the remainder, which says so. */
export function ledger(added: Added, logit: number, decimals = 2): { entries: Entry[]; total: string } {
  const unit = 10 ** decimals;
  const add = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0);
  const rows: [string, number][] = [
    ['embedding', added.embed],
    ['attention', add(added.attn)],
    ['MLP', add(added.mlp)],
  ];
  if (added.after !== 0) rows.push(['the last norm’s offset', added.after]);
  const units = rows.map(([, value]) => Math.round(value * unit));
  const rest = Math.round(logit * unit) - units.reduce((sum, each) => sum + each, 0);
  const write = (each: number): string => minus((each / unit).toFixed(decimals).replace(/^-(0\.0+)$/, '$1'));
  const entries = rows.map(([label, value], i) => ({ label, value, shown: write(units[i] ?? 0) }));
  if (rest !== 0) entries.push({ label: 'remainder and rounding', value: rest / unit, shown: write(rest) });
  return { entries, total: write(Math.round(logit * unit)) };
}

/** The parts that added most, up or down: MLPs and heads by themselves. */
export function strongest(answer: AttributionAnswer, most = 3): AttributionPart[] {
  return answer.parts
    .filter((part) => part.kind === 'head' || part.kind === 'mlp')
    .sort((a, b) => Math.abs(b.value ?? 0) - Math.abs(a.value ?? 0))
    .slice(0, most);
}
