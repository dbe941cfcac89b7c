import { describe, expect, it } from 'vitest';
import type { ModelAnswer } from '../../protocol/types';
import { formatChanges, parseChanges, type Change } from '../../state/changes';
import { actsIn, added, cellChange, cellOfPin, patched, readThere, scaled, stepsOf, withChange, withThere } from './kinds';
import { plainly, wordsOf, type Known } from './words';

function model(...templates: string[]): ModelAnswer {
  return { sites: templates.map((template) => ({ template, axes: [], inputs: [] })) } as unknown as ModelAnswer;
}

const tokens = ['The', ' robots', ' bring', ' peace'];
const known: Known = { dHead: 64, at: (pos) => tokens[pos] ?? null, of: (id) => ({ 7: ' peace', 9: ' war' })[id] ?? null };
const say = (change: Change): string => plainly(wordsOf(change, known));

describe('what can be changed', () => {
  it('follows what the model declares', () => {
    const scores = ['blocks.{i}.attn.qk_scaled', 'blocks.{i}.attn.attn_scores'];
    const turned = stepsOf(model(...scores, 'blocks.{i}.attn.rot_q', 'blocks.{i}.attn.rot_k'));
    expect(turned.map((step) => step.id)).toEqual(['root', 'mask', 'positions']);
    expect(turned[2]?.change('every')).toEqual({ action: 'skip', site: 'blocks.*.attn.rot_*' });
    expect(turned[2]?.change(3).site).toBe('blocks.3.attn.rot_*');
    const learned = stepsOf(model(...scores, 'pos_embed'))[2];
    expect(learned?.byBlock).toBe(false);
    expect(learned?.change('every')).toEqual({ action: 'zero', site: 'pos_embed' });
    expect(stepsOf(model(...scores))).toHaveLength(2);
  });

  it('a cell is the pinned one, of a pattern or of scores', () => {
    const cell = cellOfPin({ site: 'blocks.3.attn.pattern', index: [2, 5, 4] });
    expect(cell).toEqual({ site: 'blocks.3.attn.pattern', of: 'share', block: 3, head: 2, query: 5, key: 4 });
    expect(cellOfPin({ site: 'blocks.3.attn.qk', index: [2, 5, 4] })).toBeNull();
    expect(cellOfPin(null)).toBeNull();
    expect(cell && cellChange(cell, 'set', 0.5)).toEqual({ action: 'set', site: 'blocks.3.attn.pattern', selection: { head: 2, q_pos: 5, k_pos: 4 }, value: 0.5 });
  });

  it('a change takes the place of the one that it contradicts, and of no other', () => {
    const off = scaled('head', 23, 0, 0);
    const list = withChange(withChange(withChange([], off), scaled('head', 23, 1, 0)), scaled('head', 23, 0, 0.5));
    expect(formatChanges(list)).toBe('zero@blocks.23.attn.z(head=1)~scale(0.5)@blocks.23.attn.z(head=0)');
    const toward = added(4, 2, { plus: [7], minus: [9], scale: 3 });
    const stronger = added(4, 2, { plus: [7], minus: [9], scale: 6 });
    const patch = patched('resid_pre', 4, 2, 'x', 2);
    expect(withChange([patch, toward], stronger)).toEqual([patch, stronger]);
    expect(withChange([toward], added(4, 2, { plus: [9], minus: [7], scale: 3 }))).toHaveLength(2);
    expect(withChange([patch], patched('resid_pre', 4, 2, 'y', 1))).toHaveLength(1);
  });

  it('acts in its block, in every one, or outside of them', () => {
    const acts = (site: string): (number | null)[] => [null, 0, 3].filter((block) => actsIn({ action: 'zero', site }, block));
    expect(acts('blocks.3.mlp_out')).toEqual([3]);
    expect(acts('blocks.*.attn.rot_*')).toEqual([0, 3]);
    expect(acts('*.attn.z')).toEqual([0, 3]);
    expect(acts('pos_embed')).toEqual([null]);
  });

  it('all of it survives the address', () => {
    const all = [
      scaled('head', 23, 0, 0), scaled('mlp', 3, 0, -0.5), patched('attn_out', 2, 3, 'a ~ (b)', 1), added(4, null, { plus: [7], minus: [], scale: 3 }),
      cellChange({ site: 'blocks.3.attn.attn_scores', of: 'score', block: 3, head: 2, query: 5, key: 4 }, 'scale', 2),
      ...stepsOf(model('blocks.{i}.attn.rot_q')).map((step) => step.change('every')),
    ];
    expect(parseChanges(formatChanges(all))).toEqual(all);
  });
});

it('a place in the other sentence belongs to one place of this', () => {
  const switches = withThere(['transpose', 'there-1-2'], 5, 4);
  expect(switches).toEqual(['transpose', 'there-5-4']);
  expect(readThere(switches, 5)).toBe(4);
  expect(readThere(switches, 6)).toBeNull();
  expect(withThere(switches, 5, null)).toEqual(['transpose']);
  expect(readThere(['there-5-x'], 5)).toBeNull();
  expect(readThere(withThere(switches, 5, 2, 1), 5, 1)).toBe(2);
  expect(readThere(withThere(switches, 5, 2, 1), 5)).toBe(4);
});

describe('words', () => {
  it.each<[string, Change]>([
    ['head 0 of block 23 off', scaled('head', 23, 0, 0)],
    ['MLP of block 3 × 0.5', scaled('mlp', 3, 0, 0.5)],
    ['attention of block 3 × −1', scaled('attention', 3, 0, -1)],
    ['no ÷ √64 in every block', { action: 'skip', site: 'blocks.*.attn.qk_scaled' }],
    ['no mask in head 1 of block 2', { action: 'skip', site: 'blocks.2.attn.attn_scores', selection: { head: 1 } }],
    ['queries and keys not turned in every block', { action: 'skip', site: 'blocks.*.attn.rot_*' }],
    ['no position vectors', { action: 'zero', site: 'pos_embed' }],
    ['head 2 of block 3: share of  peace (3) for  bring (2) = 0.5', { action: 'set', site: 'blocks.3.attn.pattern', selection: { head: 2, q_pos: 2, k_pos: 3 }, value: 0.5 }],
    ['the stream into block 4 at  bring (2) as in “x y”, position 1', patched('resid_pre', 4, 2, 'x y', 1)],
    ['3 × ( peace −  war) added before block 4', added(4, null, { plus: [7], minus: [9], scale: 3 })],
    ['3 ×  peace added before block 4 at position 9, which this sentence does not have', added(4, 9, { plus: [7], minus: [], scale: 3 })],
    // what the panel does not offer is still told, as it is spelled
    ['mean@blocks.3.mlp.post(d_mlp=4)', { action: 'mean', site: 'blocks.3.mlp.post', selection: { d_mlp: 4 } }],
  ])('%s', (words, change) => expect(say(change)).toBe(words));
});
