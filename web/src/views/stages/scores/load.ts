/** Everything that the scores of one head are made of. */
import { partOf, type HeadOf, type Part } from '../../../trace/squares';
import { matrix, type Tensor } from '../../../trace/tensor';
import { inBlock, templateOf, type Trace } from '../../../trace/trace';
import { keyValueHead } from '../attention/attention';
import { FETCHED } from '../attention/long';

export const STEPS = ['attn.qk', 'attn.qk_scaled', 'attn.attn_scores', 'attn.pattern'] as const;

export interface HeadScores {
  trace: Trace;
  n: number;
  block: number;
  head: number;
  kvHead: number;
  tokens: string[];
  /** queries and keys as the product reads them: [pos, 1, d_head] */
  q: Tensor;
  k: Tensor;
  /** the four steps, each [1, query, key] */
  steps: Tensor[];
  /** the same as matrices [query, key] */
  data: Float32Array[];
}

/** The sites that q·k declares as its inputs: turned ones where the model turns them. */
export function factors(trace: Trace, block: number): [string, string] {
  const row = trace.model.sites.find((each) => each.template === 'blocks.{i}.attn.qk');
  const [q = 'attn.q', k = 'attn.k'] = (row?.inputs ?? []).map((input) => templateOf(input.name));
  return [inBlock(q, block), inBlock(k, block)];
}

export async function loadScores(trace: Trace, block: number, head: number): Promise<HeadScores> {
  const kvHead = keyValueHead(head, trace.model.config);
  const names = STEPS.map((step) => inBlock(step, block));
  const [q, k, ...steps] = await trace.sites([...factors(trace, block), ...names], { head, kv_head: kvHead });
  if (!q || !k || steps.length !== names.length) throw new Error('The scores of this head did not come; load the page again.');
  return {
    trace, block, head, kvHead, q, k, steps, n: trace.nPos, tokens: trace.tokens.map((token) => token.display),
    data: steps.map((step) => matrix(step).data),
  };
}

/** A part of the four steps, with the queries and the keys that it is made of. */
export interface PartOfProduct extends Part {
  /** [pos, 1, d_head] */
  queries: Tensor;
  keys: Tensor;
}

export async function partOfProduct(of: HeadOf, q: number, k: number): Promise<PartOfProduct> {
  const { trace, block, head } = of;
  const [qSite, kSite] = factors(trace, block);
  const span = (from: number): string => `${from}:${Math.min(trace.nPos, from + FETCHED)}`;
  const [part, [queries], [keys]] = await Promise.all([
    partOf(of, q, FETCHED, { k, cols: FETCHED }),
    trace.passing([qSite], { head, pos: span(q) }),
    trace.passing([kSite], { kv_head: keyValueHead(head, trace.model.config), pos: span(k) }),
  ]);
  if (!queries || !keys) throw new Error('The queries and keys of this head did not come; load the page again.');
  return { ...part, queries, keys };
}
