/** How a place in the model is called on the page. */
import type { Pin } from '../../state/address';
import { templateOf, type Trace } from '../../trace/trace';

/** blocks.3.attn.qk:2,5,4 -> "blocks.3.attn.qk  head 2, query ·bring, key ·peace" */
export function placeName(trace: Trace, pin: Pin): string {
  if (pin.site === 'next') {
    const came = trace.tokens[(pin.index[0] ?? 0) + 1];
    return came ? `chance given here to “${came.display}”, which came next` : 'what comes next is not written yet';
  }
  const axes = axesOf(trace, pin.site);
  const where = pin.index.map((i, at) => oneOf(trace, axes[at] ?? '', i)).filter(Boolean);
  return where.length ? `${pin.site} · ${where.join(', ')}` : pin.site;
}

export function axesOf(trace: Trace, site: string): readonly string[] {
  const template = templateOf(site);
  const row = trace.model.sites.find((each) => each.template === template) ?? trace.model.parameters.find((each) => each.template === template);
  return row?.axes ?? [];
}

function oneOf(trace: Trace, axis: string, i: number): string {
  const piece = trace.tokens[i]?.display ?? String(i);
  switch (axis) {
    case 'pos': return `“${piece}” at ${i}`;
    case 'q_pos': return `query “${piece}”`;
    case 'k_pos': return `key “${piece}”`;
    case 'head': return `head ${i}`;
    case 'kv_head': return `kv head ${i}`;
    case 'd_model': return `dimension ${i}`;
    case 'd_head': return `dimension ${i}`;
    case 'd_mlp': return `neuron ${i}`;
    case 'vocab': return trace.pieces.has(i) ? `token “${trace.pieces.get(i)?.display}”` : `token ${i}`;
    case 'one': return '';
    default: return `${axis} ${i}`;
  }
}
