/** What the film is made of: the numbers of one trace, fetched before it begins. */
import { short } from '../../charts/format';
import { readableSum } from '../../charts/sum';
import type { ConfigAnswer, ExplainAnswer, LensAnswer, NextAnswer, SourceAnswer } from '../../protocol/types';
import type { Tensor } from '../../trace/tensor';
import { inBlock, ratioAt, type Sampling, type Trace } from '../../trace/trace';
import { indexOfValue, longSum } from '../../views/inspector/live';
import { keyValueHead } from '../../views/stages/attention/attention';
import { headToFollow } from '../stops';
import { fewerRows, sheetOf, strongestCol, type Sheet } from './sheet';

export interface Piece {
  pos: number;
  id: number;
  display: string;
}

export interface Factor {
  text: string;
  value: number;
  site: string;
  index: number[];
}

/** One product of a written sum; `b` null where only `a` is added up. */
export interface WrittenTerm {
  label: string;
  a: Factor | null;
  b: Factor | null;
  shown: string;
}

/** A dot product with its numbers: its largest terms, the others, and what they come to. */
export interface WrittenSum {
  site: string;
  index: number[];
  value: number;
  /** what the terms run over: dimension, neuron, key, head */
  over: string;
  terms: WrittenTerm[];
  rest: number;
  restShown: string;
  totalShown: string;
  /** the second factor, where it is a weight */
  weight: string | null;
}

export interface Material {
  pieces: Piece[];
  nPos: number;
  /** the followed position, and its row among the pieces */
  pos: number;
  row: number;
  block: number;
  head: number;
  kvHead: number;
  config: ConfigAnswer;
  norm: string;
  headNorm: boolean;
  /** entering block i, and what leaves the last */
  streams: Sheet[];
  sites: Record<SiteName, Sheet>;
  optional: Partial<Record<OptionalName, Sheet>>;
  /** each head's part at the followed position, [head, d_model] */
  parts: Sheet;
  weights: Partial<Record<WeightName, Sheet>>;
  sums: Partial<Record<SumName, WrittenSum>>;
  /** the key whose product is written out */
  key: number;
  /** ‖attn_out‖ / ‖resid_pre‖ and ‖mlp_out‖ / ‖resid_mid‖ at the followed position, by block */
  added: { attn: number[]; mlp: number[] };
  next: NextAnswer;
  lens: LensAnswer;
  set: boolean;
}

const NEEDED = [
  'embed', 'ln1.out', 'ln1.scale', 'attn.q', 'attn.k', 'attn.v', 'attn.qk', 'attn.qk_scaled', 'attn.attn_scores', 'attn.pattern', 'attn.z',
  'attn_out', 'resid_mid', 'ln2.out', 'ln2.scale', 'mlp.pre', 'mlp.post', 'mlp_out', 'ln_final.out', 'ln_final.scale',
] as const;
const OPTIONAL = ['pos_embed', 'attn.rot_q', 'attn.rot_k', 'mlp.pre_linear'] as const;
export type SiteName = (typeof NEEDED)[number];
export type OptionalName = (typeof OPTIONAL)[number];
export type SumName = 'q' | 'qk' | 'z' | 'attn_out' | 'pre' | 'mlp_out' | 'logits';
export type WeightName = 'q' | 'k' | 'v' | 'pre' | 'mlp_out';

const OUTSIDE = new Set(['embed', 'pos_embed', 'ln_final.out', 'ln_final.scale']);
/** rows that can be followed with the eye; of a longer text the first piece and those up to the followed one */
export const MOST_ROWS = 16;
const CELLS = 64;
const CANDIDATES = 8;
/** as many as every view of what comes next asks for, so that one answer serves all */
const ASKED = 20;

export interface Follow {
  /** null: the head that looks back most strongly */
  block: number | null;
  head: number;
  pos: number;
  /** how the next piece is drawn */
  drawn: Sampling;
}

export function shownPositions(nPos: number, pos: number, most = MOST_ROWS): number[] {
  if (nPos <= most) return Array.from({ length: nPos }, (_, i) => i);
  const last = Math.max(pos, most - 1);
  return [0, ...Array.from({ length: most - 1 }, (_, i) => last - most + 2 + i)];
}

function isSet({ temperature = 1, top_k, top_p, min_p }: Sampling): boolean {
  return temperature !== 1 || top_k !== undefined || top_p !== undefined || min_p !== undefined;
}

export async function loadMaterial(trace: Trace, follow: Follow): Promise<Material> {
  const { pos } = follow;
  const { config, traits } = trace.model;
  const { block, head } = follow.block === null ? await headToFollow(trace, pos) : { block: follow.block, head: follow.head };
  const kvHead = keyValueHead(head, config);
  const positions = shownPositions(trace.nPos, pos);
  const row = positions.indexOf(pos);
  const all = positions.length === trace.nPos;
  const list = positions.join(',');
  const name = (site: string): string => (OUTSIDE.has(site) ? site : inBlock(site, block));
  const optional = OPTIONAL.filter((site) => trace.has(name(site)));
  const depths = Array.from({ length: config.n_layer + 1 }, (_, i) => (i < config.n_layer ? inBlock('resid_pre', i) : inBlock('resid_post', i - 1)));

  const [tensors, parts, overview, next] = await Promise.all([
    trace.sites([...depths, ...NEEDED.map(name), ...optional.map(name)], { head, kv_head: kvHead, ...(all ? {} : { pos: list, k_pos: list }) }, { bins: CELLS }),
    trace.site(name('attn.result'), { pos }, { bins: CELLS }),
    trace.overviewAt(pos),
    trace.next(pos, ASKED, follow.drawn),
  ]);
  const found = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  const qkBound = together(found.get(name('attn.qk'))?.range.c, found.get(name('attn.qk_scaled'))?.range.c);
  const sheet = (site: string): Sheet => sheetFor(found, site, positions, { head, kv_head: kvHead }, qkBound);
  const sites = Object.fromEntries(NEEDED.map((site) => [site, sheet(name(site))])) as Record<SiteName, Sheet>;
  hatch(sites['attn.attn_scores'], sites['attn.pattern']);
  const key = strongestCol(sites['attn.pattern'], row);

  const at = (site: SiteName, col: number): number[] => sites[site].index(row, col);
  const neuron = at('mlp.pre', strongestCol(sites['mlp.pre'], row));
  const top = next.candidates[0]?.token.id ?? 0;
  const wanted: Record<SumName, [string, number[]]> = {
    q: [name('attn.q'), at('attn.q', strongestCol(sites['attn.q'], row))],
    qk: [name('attn.qk'), at('attn.qk', key)],
    z: [name('attn.z'), at('attn.z', strongestCol(sites['attn.z'], row))],
    attn_out: [name('attn_out'), at('attn_out', strongestCol(sites['attn_out'], row))],
    pre: [name('mlp.pre'), neuron],
    mlp_out: [name('mlp_out'), at('mlp_out', strongestCol(sites['mlp_out'], row))],
    logits: ['logits', [pos, top]],
  };
  const names = Object.keys(wanted) as SumName[];
  const [answers, lens] = await Promise.all([
    Promise.all(names.map((each) => trace.explain(...wanted[each]))),
    trace.lens(pos, [], 1),
  ]);
  const sums: Material['sums'] = {};
  names.forEach((each, i) => {
    const written = answers[i] && writeSum(trace, answers[i]);
    if (written) sums[each] = written;
  });
  const per = (of: 'attn' | 'mlp'): number[] => Array.from({ length: config.n_layer }, (_, i) => ratioAt(overview, of, i, pos));
  return {
    pieces: positions.map((each) => ({ pos: each, id: trace.tokens[each]?.id ?? 0, display: trace.tokens[each]?.display ?? '' })),
    nPos: trace.nPos, pos, row, block, head, kvHead, config, norm: traits.norm, headNorm: traits.qk_norm,
    streams: depths.map(sheet), sites, optional: Object.fromEntries(optional.map((site) => [site, sheet(name(site))])),
    parts: sheetOf(parts, { down: 'head', rows: Array.from({ length: config.n_head }, (_, i) => i), fixed: { pos } }),
    weights: await loadWeights(trace, { head, kv_head: kvHead }, { q: sums.q?.weight, k: null, v: null, pre: sums.pre?.weight, mlp_out: sums.mlp_out?.weight }, block),
    sums, key, next: { ...next, candidates: next.candidates.slice(0, CANDIDATES) }, added: { attn: per('attn'), mlp: per('mlp') }, lens,
    set: isSet(follow.drawn),
  };
}

function sheetFor(found: Map<string, Tensor>, site: string, positions: readonly number[], fixed: Record<string, number>, qkBound?: number): Sheet {
  const tensor = found.get(site);
  if (!tensor) throw new Error(`${site} did not come; load the page again.`);
  const square = tensor.axes.at(-1) === 'k_pos';
  const share = site.endsWith('attn.pattern');
  return sheetOf(tensor, {
    down: square ? 'q_pos' : 'pos', rows: positions, across: square ? positions : undefined, fixed,
    kind: share ? 'share' : 'signed', bound: share ? 1 : square ? qkBound : undefined,
  });
}

/** One colour scale for a product before and after it is divided: what is smaller looks smaller, and neither is blank. */
function together(a: number | null | undefined, b: number | null | undefined): number | undefined {
  return a && b ? Math.sqrt(a * b) : undefined;
}

/** What the mask rules out stays hatched when shares are taken. */
function hatch(scores: Sheet, pattern: Sheet): void {
  const masked = Uint8Array.from(scores.data, (score) => (score === -Infinity ? 1 : 0));
  scores.masked = masked;
  pattern.masked = masked;
}

/** The weights above a product, as a square of real ones. */
async function loadWeights(
  trace: Trace, heads: Record<string, number>, names: Partial<Record<WeightName, string | null>>, block: number,
): Promise<Material['weights']> {
  // keys and values are made as queries are, by weights that the sites of their own declare
  const declared = (site: string): string | null => {
    const row = trace.model.sites.find((each) => each.template === `blocks.{i}.${site}`);
    return row?.inputs.find((input) => input.kind === 'parameter')?.name.replace('{i}', String(block)) ?? null;
  };
  const wanted: Partial<Record<WeightName, string | null>> = { ...names, k: names.q ? declared('attn.k') : null, v: names.q ? declared('attn.v') : null };
  const out: Material['weights'] = {};
  await Promise.all(
    (Object.entries(wanted) as [WeightName, string | null | undefined][]).map(async ([which, name]) => {
      if (!name) return;
      const axes = trace.parameterAxes(name);
      const fixed = Object.fromEntries(axes.filter((axis) => axis in heads).map((axis) => [axis, heads[axis] ?? 0]));
      const tensor = await trace.parameter(name, fixed, { bins: CELLS });
      const down = axes.at(-2) ?? '';
      const n = tensor.shape.at(-2) ?? 0;
      out[which] = fewerRows(sheetOf(tensor, { down, rows: Array.from({ length: n }, (_, i) => i), fixed }), CELLS);
    }),
  );
  return out;
}

const OVER: Readonly<Record<string, string>> = {
  d_model: 'dimension', d_head: 'dimension', d_mlp: 'neuron', pos: 'piece', k_pos: 'piece', q_pos: 'piece', head: 'head', kv_head: 'head',
};

/** null where the number is no sum of many terms. */
export function writeSum(trace: Pick<Trace, 'tokens'>, answer: ExplainAnswer): WrittenSum | null {
  const sum = longSum(answer);
  const total = answer.result;
  // what somebody changed is no longer the sum of what it was made from
  if (!sum || total === null || answer.changed_by.length) return null;
  const products = sum.a.map((a, i) => a * (sum.b?.[i] ?? 1));
  const readable = readableSum(sum.bias ? [...products, sum.bias] : products, total);
  const axis = sum.from.index.findIndex((along) => along.length > 1);
  const over = sum.from.axes[axis] ?? '';
  const named = (i: number): string => {
    const place = indexOfValue(sum.from, i)[axis] ?? i;
    if (over === 'pos' || over.endsWith('_pos')) return trace.tokens[place]?.display ?? String(place);
    return over.endsWith('head') && over !== 'd_head' ? `head ${place}` : String(place);
  };
  const factor = (from: SourceAnswer | null, i: number, value: number | undefined): Factor | null =>
    from && value !== undefined ? { text: short(value), value, site: from.name, index: indexOfValue(from, i) } : null;
  return {
    site: answer.site, index: answer.index, value: total, over: OVER[over] ?? over,
    terms: readable.terms.map((term) =>
      term.at === products.length
        ? { label: 'bias', a: null, b: null, shown: term.shown }
        : { label: named(term.at), a: factor(sum.from, term.at, sum.a[term.at]), b: factor(sum.with, term.at, sum.b?.[term.at]), shown: term.shown },
    ),
    rest: readable.rest, restShown: readable.otherShown, totalShown: readable.totalShown,
    weight: sum.with?.kind === 'parameter' ? sum.with.name : null,
  };
}
