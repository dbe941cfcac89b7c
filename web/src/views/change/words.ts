/** A change in plain words. Pure. */
import { exact } from '../../charts/format';
import { formatChange, type Change } from '../../state/changes';
import { templateOf } from '../../trace/trace';
import { numberAt, whereOf } from './kinds';

/** Words, and pieces of a text. */
export type Said = string | { piece: string };

export interface Known {
  dHead: number;
  /** the piece at a position of the sentence */
  at: (pos: number) => string | null;
  /** the piece of an id */
  of: (id: number) => string | null;
}

const PARTS: Record<string, string> = {
  'attn.z': 'attention', 'attn.result': 'attention', attn_out: 'attention', mlp_out: 'MLP',
};
const STREAM: Record<string, string> = { resid_pre: 'the stream into', attn_out: 'the attention of', mlp_out: 'the MLP of' };

export function wordsOf(change: Change, known: Known): Said[] {
  return told(change, known) ?? [formatChange(change)];
}

function told(change: Change, known: Known): Said[] | null {
  const { action, value } = change;
  const name = templateOf(change.site.replace('blocks.*.', 'blocks.{i}.')).replace('blocks.{i}.', '');
  const where = whereOf(change);
  const block = where === 'every' ? 'every block' : where === null ? '' : `block ${where}`;
  const head = numberAt(change, 'head');
  const pos = numberAt(change, 'pos');
  const here: Said[] = pos === null ? [] : [' at ', ...place(pos, known.at(pos))];

  if (action === 'skip') {
    const of = head === null ? block : `head ${head} of ${block}`;
    if (name === 'attn.qk_scaled') return [`no ÷ √${known.dHead} in ${of}`];
    if (name === 'attn.attn_scores') return [`no mask in ${of}`];
    if (name.startsWith('attn.rot_')) return [`${name.endsWith('q') ? 'queries' : name.endsWith('k') ? 'keys' : 'queries and keys'} not turned in ${of}`];
    return null;
  }
  if (action === 'zero' && change.site === 'pos_embed') return ['no position vectors', ...here];
  if (name === 'attn.pattern' || name === 'attn.attn_scores') return toldCell(change, known, name === 'attn.pattern', block);
  if ((action === 'zero' || action === 'scale') && PARTS[name]) {
    const part = head === null ? `${PARTS[name]} of ${block}` : `head ${head} of ${block}`;
    if (action === 'zero') return [`${part} off`, ...here];
    return typeof value === 'number' ? [`${part} × ${exact(value)}`, ...here] : null;
  }
  if (action === 'patch' && change.source && STREAM[name]) {
    const { text, ids, pos: there } = change.source;
    const from = text !== undefined ? `“${text}”` : `${ids?.length ?? 0} pieces`;
    return [`${STREAM[name]} ${block}`, ...here, ' as in ', from, ...(there === undefined ? [] : [`, position ${there}`])];
  }
  if (action === 'add' && change.direction && name === 'resid_pre') {
    const { plus, minus, scale } = change.direction;
    const pieces = (ids: readonly number[]): Said[] => ids.flatMap((id, i) => [...(i ? [' + '] : []), { piece: known.of(id) ?? `#${id}` }]);
    const less: Said[] = minus.length ? [' − ', ...pieces(minus)] : [];
    const several = plus.length + minus.length > 1;
    return [`${exact(scale)} × `, ...(several ? ['('] : []), ...pieces(plus), ...less, ...(several ? [')'] : []), ` added before ${block}`, ...here];
  }
  return null;
}

function toldCell(change: Change, known: Known, share: boolean, block: string): Said[] | null {
  const [head, query, key] = [numberAt(change, 'head'), numberAt(change, 'q_pos'), numberAt(change, 'k_pos')];
  const { action, value } = change;
  if (head === null || query === null || key === null || typeof value !== 'number') return null;
  const to = action === 'set' ? `= ${exact(value)}` : action === 'scale' ? `× ${exact(value)}` : null;
  if (to === null) return null;
  return [`head ${head} of ${block}: ${share ? 'share' : 'score'} of `, ...place(key, known.at(key)), ' for ', ...place(query, known.at(query)), ` ${to}`];
}

function place(pos: number, piece: string | null): Said[] {
  return piece === null ? [`position ${pos}, which this sentence does not have`] : [{ piece }, ` (${pos})`];
}

/** The same without marks: for screen readers and titles. */
export function plainly(said: readonly Said[]): string {
  return said.map((each) => (typeof each === 'string' ? each : each.piece)).join('');
}
