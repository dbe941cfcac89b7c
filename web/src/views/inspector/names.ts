/** How a place in the model is called on the page. */
import type { Pin } from '../../state/address';
import { templateOf, type Trace } from '../../trace/trace';

const SITES: Readonly<Record<string, string>> = {
  'embed': 'embedding',
  'pos_embed': 'position vector',
  'resid_pre': 'stream entering the block',
  'resid_mid': 'stream after attention',
  'resid_post': 'stream leaving the block',
  'scale': 'size of the vector',
  'normalized': 'vector brought to size 1',
  'out': 'normed vector',
  'attn.q': 'query',
  'attn.k': 'key',
  'attn.v': 'value',
  'attn.rot_q': 'turned query',
  'attn.rot_k': 'turned key',
  'attn.qk': 'query times key',
  'attn.qk_scaled': 'scaled score',
  'attn.attn_scores': 'masked score',
  'attn.pattern': 'share of attention',
  'attn.z': 'mix of values',
  'attn.result': 'part of the head',
  'attn_out': 'what attention adds',
  'mlp.pre': 'neuron before its curve',
  'mlp.pre_linear': 'linear branch of the neuron',
  'mlp.post': 'activation of the neuron',
  'mlp_out': 'what the MLP adds',
  'logits': 'logit',
};
const NORMS: Readonly<Record<string, string>> = { ln1: ' before attention', ln2: ' before the MLP', ln_final: ' before the unembedding' };
// what the columns of a weight make, where its axis alone does not say
const MADE: Readonly<Record<string, string>> = { W_Q: 'query', W_K: 'key', W_V: 'value', W_O: 'mix' };

/** blocks.17.attn.q:9,5,3 -> "query of “·bring” at 9, block 17, head 5, dimension 3": words, without the code name */
export function placeName(trace: Trace, pin: Pin): string {
  if (pin.site === 'next') {
    const came = trace.tokens[(pin.index[0] ?? 0) + 1];
    return came ? `chance given here to “${came.display}”, which came next` : 'what comes next is not written yet';
  }
  const axes = axesOf(trace, pin.site);
  const block = /^blocks\.(\d+)\./.exec(pin.site)?.[1];
  const inBlock = block === undefined ? [] : [`block ${block}`];
  const own = pin.site.replace(/^blocks\.\d+\./, '');
  if (trace.model.parameters.some((row) => row.template === templateOf(pin.site))) return weightName(trace, own, axes, pin.index, inBlock);

  const of: string[] = [];
  const rest: string[] = [];
  pin.index.forEach((i, at) => {
    const axis = axes[at] ?? '';
    if (axis === 'pos') of.push(`“${piece(trace, i)}” at ${i}`);
    else if (axis === 'q_pos') of.push(`“${piece(trace, i)}”`);
    else if (axis === 'k_pos') of.push(`to “${piece(trace, i)}”`);
    else rest.push(oneOf(trace, axis, i));
  });
  const what = siteName(own) ?? pin.site;
  const whose = of.length ? ` of ${of.join(' ')}` : '';
  return [what + whose, ...inBlock, ...rest.filter(Boolean)].join(', ');
}

export function axesOf(trace: Trace, site: string): readonly string[] {
  const template = templateOf(site);
  const row = trace.model.sites.find((each) => each.template === template) ?? trace.model.parameters.find((each) => each.template === template);
  return row?.axes ?? [];
}

function siteName(own: string): string | null {
  const [first = '', last = ''] = own.split('.');
  const norm = NORMS[first];
  if (norm && SITES[last]) return SITES[last] + norm;
  return SITES[own] ?? null;
}

/** "weight W_Q, block 17, head 5, row 60 (stream) → column 15 (query)" */
function weightName(trace: Trace, own: string, axes: readonly string[], index: readonly number[], inBlock: readonly string[]): string {
  const letter = own.split('.').at(-1) ?? own;
  const heads = axes.flatMap((axis, at) => (axis.endsWith('head') && axis !== 'd_head' ? [oneOf(trace, axis, index[at] ?? 0)] : []));
  const ends = axes.flatMap((axis, at) => (axis.endsWith('head') && axis !== 'd_head' ? [] : [{ axis, i: index[at] ?? 0 }]));
  const side = ({ axis, i }: { axis: string; i: number }): string => {
    if (axis === 'vocab') return oneOf(trace, axis, i);
    return axis === 'd_model' ? 'stream' : axis === 'd_mlp' ? 'neuron' : axis === 'd_head' ? (MADE[letter] ?? 'head') : axis;
  };
  const [from, to] = ends;
  const name = letter.startsWith('W_') ? letter : own;
  const place = from && to ? [`row ${from.i} (${side(from)}) → column ${to.i} (${side(to)})`] : ends.map(({ axis, i }) => oneOf(trace, axis, i));
  return [`weight ${name}`, ...inBlock, ...heads, ...place].filter(Boolean).join(', ');
}

function piece(trace: Trace, pos: number): string {
  return trace.tokens[pos]?.display ?? String(pos);
}

function oneOf(trace: Trace, axis: string, i: number): string {
  switch (axis) {
    case 'pos': return `position ${i}`;
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
