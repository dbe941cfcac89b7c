import { describe, expect, it } from 'vitest';
import { formatChange, formatChanges, parseChange, parseChanges, withoutPlaces, type Change } from './changes';

const CHANGES: [string, Change][] = [
  ['zero@blocks.23.attn.z(head=0)', { action: 'zero', site: 'blocks.23.attn.z', selection: { head: 0 } }],
  ['scale(0.5)@blocks.3.mlp_out', { action: 'scale', site: 'blocks.3.mlp_out', value: 0.5 }],
  ['skip@blocks.*.attn.attn_scores', { action: 'skip', site: 'blocks.*.attn.attn_scores' }],
  ['set(-0.25)@blocks.3.attn.pattern(head=1;q_pos=5;k_pos=2)', { action: 'set', site: 'blocks.3.attn.pattern', value: -0.25, selection: { head: 1, q_pos: 5, k_pos: 2 } }],
  ['set(0.1,0.2)@embed(pos=1,3)', { action: 'set', site: 'embed', value: [0.1, 0.2], selection: { pos: [1, 3] } }],
  ['mean@embed(pos=2,)', { action: 'mean', site: 'embed', selection: { pos: [2] } }],
  ['zero@embed(pos=1:4)', { action: 'zero', site: 'embed', selection: { pos: { start: 1, stop: 4 } } }],
  ['zero@embed(pos=::2)', { action: 'zero', site: 'embed', selection: { pos: { step: 2 } } }],
  ['patch(ids:4,5;pos:1)@blocks.2.resid_pre(pos=3)', { action: 'patch', site: 'blocks.2.resid_pre', selection: { pos: 3 }, source: { ids: [4, 5], pos: 1 } }],
  ['add(plus:12,15;minus:9;scale:3)@blocks.2.resid_pre', { action: 'add', site: 'blocks.2.resid_pre', direction: { plus: [12, 15], minus: [9], scale: 3 } }],
  ['add(plus:12;minus:;scale:-1e-7)@blocks.2.resid_pre', { action: 'add', site: 'blocks.2.resid_pre', direction: { plus: [12], minus: [], scale: -1e-7 } }],
];

describe('a change as text', () => {
  it.each(CHANGES)('%s', (text, change) => {
    expect(formatChange(change)).toBe(text);
    expect(parseChange(text)).toEqual(change);
  });
  it('a sentence with every mark of the spelling survives', () => {
    const change: Change = { action: 'patch', site: 'blocks.2.resid_pre', source: { text: '(a~b);c,d:e@f=%41 “ß”\n!*\'' } };
    const text = formatChange(change);
    expect(text).toMatch(/^patch\(text:[\w%.-]+\)@blocks\.2\.resid_pre$/);
    expect(parseChanges(`${text}~zero@embed`)).toEqual([change, { action: 'zero', site: 'embed' }]);
  });
  it('a list is a list', () => {
    const all = CHANGES.map(([, change]) => change);
    expect(parseChanges(formatChanges(all))).toEqual(all);
    expect(parseChanges('')).toEqual([]);
  });
  it.each(['zero', 'zero@', '@embed', 'zero@../x', 'zero(@embed', 'scale(x)@embed', 'set(1,,2)@embed', 'zero@embed(pos)', 'zero@embed(pos=x)', 'patch(pos:)@embed', 'patch(text:%E2)@embed', 'ZERO@embed'])(
    '%s makes no sense', (text) => expect(parseChange(text)).toBeNull(),
  );
});

it('what names a position belongs to its sentence', () => {
  expect(withoutPlaces(CHANGES.map(([, change]) => change)).map((change) => change.site)).toEqual([
    'blocks.23.attn.z', 'blocks.3.mlp_out', 'blocks.*.attn.attn_scores', 'blocks.2.resid_pre', 'blocks.2.resid_pre',
  ]);
});
