/** The changes that the panel offers, as the server takes them. Which there are follows from what the model declares. Pure. */
import { formatChange, type Change, type Direction, type Place } from '../../state/changes';
import type { ModelAnswer } from '../../protocol/types';
import type { Pin } from '../../state/address';
import { readOne, withOne } from '../stages/attention/attention';
import { blockOf, inBlock, templateOf } from '../../trace/trace';

export const KINDS = ['part', 'step', 'cell', 'direction', 'sentence'] as const;
export type Kind = (typeof KINDS)[number];
/** switches: `change-cell`; `there-5-4`: beside place 5 stands place 4 of the second sentence, `third-5-2`: and 2 of the third */
export const KIND = 'change-';
const THERE = ['there-', 'third-'] as const;

/** Which place of the other sentence (0: the second, 1: the third) was chosen to stand beside `pos`. */
export function readThere(switches: readonly string[], pos: number, which: 0 | 1 = 0): number | null {
  const [here, there] = (readOne(switches, THERE[which]) ?? '').split('-');
  return here !== undefined && there !== undefined && here === String(pos) && /^\d+$/.test(there) ? Number(there) : null;
}

export function withThere(switches: readonly string[], pos: number, there: number | null, which: 0 | 1 = 0): string[] {
  return withOne(switches, THERE[which], there === null ? null : `${pos}-${there}`);
}

export function isKind(text: string | null): text is Kind {
  return KINDS.some((each) => each === text);
}

/** A block by number, or every one. */
export type Where = number | 'every';

export function at(site: string, where: Where): string {
  return where === 'every' ? `blocks.*.${site}` : inBlock(site, where);
}

export type Part = 'head' | 'attention' | 'mlp';

/** A part times a factor; 0 switches it off. */
export function scaled(part: Part, block: number, head: number, factor: number): Change {
  const site = inBlock(part === 'head' ? 'attn.z' : part === 'attention' ? 'attn_out' : 'mlp_out', block);
  return {
    action: factor === 0 ? 'zero' : 'scale', site,
    ...(part === 'head' ? { selection: { head } } : {}), ...(factor === 0 ? {} : { value: factor }),
  };
}

export type StepId = 'root' | 'mask' | 'positions';

export interface Step {
  id: StepId;
  /** can it be left out of one block alone? */
  byBlock: boolean;
  change: (where: Where) => Change;
}

/** The steps that can be left out of this model. */
export function stepsOf(model: ModelAnswer): Step[] {
  const declared = new Set(model.sites.map((row) => row.template));
  const skip = (site: string) => (where: Where): Change => ({ action: 'skip', site: at(site, where) });
  const steps: Step[] = [];
  if (declared.has('blocks.{i}.attn.qk_scaled')) steps.push({ id: 'root', byBlock: true, change: skip('attn.qk_scaled') });
  if (declared.has('blocks.{i}.attn.attn_scores')) steps.push({ id: 'mask', byBlock: true, change: skip('attn.attn_scores') });
  // queries and keys are turned by their positions, or a vector for each position is added to the embedding
  if (declared.has('blocks.{i}.attn.rot_q')) steps.push({ id: 'positions', byBlock: true, change: skip('attn.rot_*') });
  else if (declared.has('pos_embed')) steps.push({ id: 'positions', byBlock: false, change: () => ({ action: 'zero', site: 'pos_embed' }) });
  return steps;
}

export interface PatternCell {
  site: string;
  /** the softmax's result, or what goes into it */
  of: 'share' | 'score';
  block: number;
  head: number;
  query: number;
  key: number;
}

/** The cell of a pattern, or of the scores that go into the softmax, that is pinned. */
export function cellOfPin(pin: Pin | null): PatternCell | null {
  const template = pin && templateOf(pin.site);
  const of = template === 'blocks.{i}.attn.pattern' ? 'share' : template === 'blocks.{i}.attn.attn_scores' ? 'score' : null;
  const [head, query, key] = pin?.index ?? [];
  const block = pin && blockOf(pin.site);
  if (!pin || !of || block === null || head === undefined || query === undefined || key === undefined) return null;
  return { site: pin.site, of, block, head, query, key };
}

export function cellChange(cell: PatternCell, action: 'set' | 'scale', value: number): Change {
  return { action, site: cell.site, selection: { head: cell.head, q_pos: cell.query, k_pos: cell.key }, value };
}

/** What a sentence can be patched at: the stream as it enters a block, or what one part of the block adds. */
export const PATCHED = ['resid_pre', 'attn_out', 'mlp_out'] as const;
export type Patched = (typeof PATCHED)[number];

export function patched(site: Patched, block: number, pos: number, text: string, there: number): Change {
  return { action: 'patch', site: inBlock(site, block), selection: { pos }, source: { text, pos: there } };
}

export function added(block: number, pos: number | null, direction: Direction): Change {
  return { action: 'add', site: inBlock('resid_pre', block), ...(pos === null ? {} : { selection: { pos } }), direction };
}

/** The list with a change more: it takes the place of the one that it contradicts. */
export function withChange(changes: readonly Change[], change: Change): Change[] {
  const kept = changes.filter((each) => !contradicts(each, change));
  return [...kept, change];
}

function contradicts(old: Change, fresh: Change): boolean {
  if (placeOf(old) !== placeOf(fresh)) return false;
  // directions add up, unless it is the same one with another strength
  if (old.direction && fresh.direction) return String([old.direction.plus, ';', old.direction.minus]) === String([fresh.direction.plus, ';', fresh.direction.minus]);
  return (old.action === 'add') === (fresh.action === 'add');
}

function placeOf(change: Change): string {
  const selection = Object.fromEntries(Object.entries(change.selection ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
  return formatChange({ action: 'x', site: change.site, selection });
}

export function whereOf(change: Change): Where | null {
  return /^(blocks\.)?\*/.test(change.site) ? 'every' : blockOf(change.site);
}

/** Whether it changes something in this block; null: before or after the blocks. */
export function actsIn(change: Change, block: number | null): boolean {
  const where = whereOf(change);
  return block === null ? where === null : where === 'every' || where === block;
}

export function numberAt(change: Change, axis: string): number | null {
  const place: Place | undefined = change.selection?.[axis];
  return typeof place === 'number' ? place : null;
}
