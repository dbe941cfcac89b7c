/** The thumbnails of every head, and what one query looks at: of a long text block by block, as they come. */
import { LONG } from '../../trace/rows';
import type { Selection, Trace } from '../../trace/trace';
import { looksOf, looksOfLargest, thumbOf, type Look, type Thumb } from './map';

const BINS = '12x12';
/** numbers of one site that the server reads at once, at most */
const READ = 16 * 2 ** 20;

/** So many heads' patterns of a text of `n` positions may be asked for together. */
export function headsAtOnce(n: number, nHead: number): number {
  return Math.max(1, Math.min(nHead, Math.floor(READ / (n * n))));
}

const names = (trace: Trace): string[] => Array.from({ length: trace.model.config.n_layer }, (_, i) => `blocks.${i}.attn.pattern`);

/** Each head's pattern with at most 12 × 12 cells, [block][head]. `come` hears of each block's, or is given all at once; it
 * says whether to go on. */
export async function eachThumb(trace: Trace, aside: boolean, come: (block: number, thumbs: Thumb[]) => boolean): Promise<void> {
  const { n_head: nHead } = trace.model.config;
  // ranges are not asked for, since the largest of what came is the scale
  const query: Selection = { reduce: 'absmax', bins: BINS, ranges: 'false', ...(aside ? { skip_first: 'true' } : {}) };
  const heads = Array.from({ length: nHead }, (_, head) => head);
  if (trace.nPos <= LONG) {
    const all = await trace.sites(names(trace), query);
    all.forEach((tensor, block) => come(block, heads.map((head) => thumbOf(tensor, head))));
    return;
  }
  const step = headsAtOnce(trace.nPos, nHead);
  for (const [block, name] of names(trace).entries()) {
    const thumbs: Thumb[] = [];
    for (let head = 0; head < nHead; head += step) {
      const end = Math.min(nHead, head + step);
      const tensor = await trace.site(name, { ...query, ...(step < nHead ? { head: `${head}:${end}` } : {}) });
      for (let own = 0; own < end - head; own++) thumbs.push(thumbOf(tensor, own));
    }
    if (!come(block, thumbs)) return;
  }
}

/** What the query at `pos` looks at, [block][head]. */
export async function eachLook(trace: Trace, pos: number): Promise<Look[][]> {
  const all = { q_pos: pos, ranges: 'false' };
  if (trace.nPos <= LONG) return (await trace.sites(names(trace), all)).map(looksOf);
  const [largest, first] = await Promise.all([
    trace.sites(names(trace), { ...all, reduce: 'absmax', bins: 1, skip_first: 'true' }),
    trace.sites(names(trace), { ...all, k_pos: 0 }),
  ]);
  return largest.map((tensor, i) => looksOfLargest(tensor, first[i]));
}
