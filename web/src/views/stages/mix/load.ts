/** What a position receives: the values mixed by a head, each head's part through W_O, their sum, and the stream. */
import type { Tensor } from '../../../trace/tensor';
import { inBlock, type Trace } from '../../../trace/trace';
import { keyValueHead } from '../attention/attention';

export interface Mixed {
  trace: Trace;
  block: number;
  head: number;
  kvHead: number;
  pos: number;
  n: number;
  tokens: string[];
  /** shares of this head's row, [k_pos] */
  shares: Float32Array;
  /** values of the key/value head, [k_pos, d_head] */
  v: Tensor;
  /** of all heads at this position: [head, d_head] and [head, d_model] */
  z: Tensor;
  parts: Tensor;
  /** [d_model] */
  out: Tensor;
  before: Tensor;
  after: Tensor;
  /** b_O, where the model has one */
  bias: Tensor | null;
}

export async function loadMix(trace: Trace, block: number, head: number, pos: number): Promise<Mixed> {
  const at = (site: string): string => inBlock(site, block);
  const kvHead = keyValueHead(head, trace.model.config);
  const biased = trace.parameterAxes(at('attn.b_O')).length > 0;
  const [pattern, v, [z, parts, out, before, after], bias] = await Promise.all([
    trace.site(at('attn.pattern'), { head, q_pos: pos }),
    trace.site(at('attn.v'), { kv_head: kvHead }),
    trace.sites(['attn.z', 'attn.result', 'attn_out', 'resid_pre', 'resid_mid'].map(at), { pos }),
    biased ? trace.parameter(at('attn.b_O')) : null,
  ]);
  if (!z || !parts || !out || !before || !after) throw new Error('The parts of this block did not come; load the page again.');
  return {
    trace, block, head, kvHead, pos, n: trace.nPos, tokens: trace.tokens.map((token) => token.display), shares: pattern.data, v, z, parts, out, before, after, bias,
  };
}

/** Column `at` of a row-major matrix. */
export function column(data: ArrayLike<number>, cols: number, at: number): number[] {
  return Array.from({ length: Math.floor(data.length / cols) }, (_, row) => data[row * cols + at] ?? NaN);
}
