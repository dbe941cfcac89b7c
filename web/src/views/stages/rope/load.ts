/** A head's vector before and after turning, and how far each pair turns from one position to the next. */
import { inBlock, templateOf, type Trace } from '../../../trace/trace';
import { keyValueHead } from '../attention/attention';
import { pairsOf, type Pair } from './turns';

export type Which = 'q' | 'k';

export interface Turned {
  trace: Trace;
  block: number;
  which: Which;
  /** the head of the sites: the key/value head of keys */
  head: number;
  pos: number;
  before: string;
  after: string;
  /** of all positions up to here: the same pair, for each its own turn */
  pairs: Pair[];
}

export async function loadTurned(trace: Trace, block: number, head: number, pos: number, which: Which): Promise<Turned> {
  const template = `blocks.{i}.attn.rot_${which}`;
  const row = trace.model.sites.find((each) => each.template === template);
  const input = row?.inputs.find((each) => each.kind === 'site');
  if (!row || !input) throw new Error('This model does not turn its vectors.');
  const own = row.axes[1] === 'kv_head' ? keyValueHead(head, trace.model.config) : head;
  const [before, after] = [inBlock(templateOf(input.name), block), inBlock(template, block)];
  // the table of angles is the model's own: its row at position 1 holds the step of each pair
  const hasStep = trace.manifest.start === 0 && trace.nPos > 1;
  const [[a, b], table] = await Promise.all([
    trace.sites([before, after], { pos, [row.axes[1] ?? 'head']: own }),
    hasStep ? trace.explain(after, [1, own, 0]) : null,
  ]);
  if (!a || !b) throw new Error('The vectors did not come; load the page again.');
  const angles = (table?.inputs ?? []).filter((each) => each.kind === 'constant').map((each) => each.values.map((value) => value ?? NaN));
  return { trace, block, which, head: own, pos, before, after, pairs: pairsOf(a.data, b.data, angles[0] ?? null, angles[1] ?? null) };
}
