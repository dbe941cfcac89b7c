/** Queries, keys and values of one head, with the weights and biases that make them, as the model declares them. */
import type { Role } from '../../../charts/palette.svelte';
import type { Tensor } from '../../../trace/tensor';
import { partAround } from '../../../trace/rows';
import { inBlock, templateOf, type Trace } from '../../../trace/trace';
import { keyValueHead } from '../attention/attention';

export type Letter = 'Q' | 'K' | 'V';

export interface Projection {
  letter: Letter;
  role: Role;
  site: string;
  /** the head of the site: the key/value head of K and V */
  head: number;
  headAxis: string;
  meaning: string;
  /** [pos, 1, d_head]: of a long text the positions around the selected one, the first of them at `first` */
  values: Tensor;
  first: number;
  weights: { name: string; data: Float32Array };
  bias: { name: string; data: Float32Array } | null;
  /** normalized within its head, in models that do so */
  normed: string | null;
}

export interface Projections {
  trace: Trace;
  block: number;
  head: number;
  /** what all three read */
  source: string;
  of: Projection[];
}

const WHICH: readonly { letter: Letter; role: Role; site: string; normed: string }[] = [
  { letter: 'Q', role: 'q', site: 'attn.q', normed: 'attn.q_norm' },
  { letter: 'K', role: 'k', site: 'attn.k', normed: 'attn.k_norm' },
  { letter: 'V', role: 'v', site: 'attn.v', normed: 'attn.v_norm' },
];

export async function loadProjections(trace: Trace, block: number, head: number, pos: number): Promise<Projections> {
  const kvHead = keyValueHead(head, trace.model.config);
  const part = partAround(pos, trace.nPos);
  const which: Record<string, string> = part ? { pos: `${part.from}:${part.to}` } : {};
  const values = await Promise.all(WHICH.map(({ site }) => trace.site(inBlock(site, block), { head, kv_head: kvHead, ...which })));
  const rows = WHICH.map(({ site }) => trace.model.sites.find((row) => templateOf(row.template) === `blocks.{i}.${site}`));
  const of = await Promise.all(
    WHICH.map(async ({ letter, role, site, normed }, i): Promise<Projection> => {
      const [row, found] = [rows[i], values[i]];
      if (!row || !found) throw new Error(`${letter} did not come; load the page again.`);
      const headAxis = row.axes[1] ?? 'head';
      const own = headAxis === 'kv_head' ? kvHead : head;
      const names = row.inputs.filter((input) => input.kind === 'parameter').map((input) => inBlock(input.name, block));
      const [weights, bias] = await Promise.all(names.map((name) => trace.parameter(name, { [headAxis]: own })));
      if (!weights) throw new Error(`The weights of ${letter} did not come; load the page again.`);
      return {
        letter, role, site: inBlock(site, block), head: own, headAxis, meaning: row.meaning, values: found, first: part?.from ?? 0,
        weights: { name: weights.name, data: weights.data },
        bias: bias ? { name: bias.name, data: bias.data } : null,
        normed: trace.has(inBlock(normed, block)) ? inBlock(normed, block) : null,
      };
    }),
  );
  const source = inBlock(rows[0]?.inputs.find((input) => input.kind === 'site')?.name ?? 'ln1.out', block);
  return { trace, block, head, source, of };
}

export interface BinnedRows {
  rows: number;
  data: Float32Array;
  /** the real row of each shown value */
  at: Int32Array;
  /** elements in the tallest bin */
  height: number;
}

/** Where a matrix has more rows than pixels: of each bin of rows, each column's element with the largest |x|. */
export function binRows(data: ArrayLike<number>, rows: number, cols: number, bins: number): BinnedRows {
  const n = Math.max(1, Math.min(bins, rows));
  const out = new Float32Array(n * cols);
  const at = new Int32Array(n * cols);
  for (let bin = 0; bin < n; bin++) {
    const from = Math.floor((bin * rows) / n);
    const to = Math.floor(((bin + 1) * rows) / n);
    for (let col = 0; col < cols; col++) {
      let best = from;
      for (let row = from; row < to; row++) {
        if (Math.abs(data[row * cols + col] ?? 0) > Math.abs(data[best * cols + col] ?? 0)) best = row;
      }
      out[bin * cols + col] = data[best * cols + col] ?? NaN;
      at[bin * cols + col] = best;
    }
  }
  return { rows: n, data: out, at, height: Math.ceil(rows / n) };
}

/** "0, 1 and 2" */
export function listed(items: readonly (string | number)[]): string {
  return items.length < 2 ? items.join('') : `${items.slice(0, -1).join(', ')} and ${items.at(-1)}`;
}
