import { expect, it } from 'vitest';
import { formatAddress, parseAddress, PLAIN, type Address } from './address';

it('an address opens what it was made from', () => {
  const address: Address = {
    ...PLAIN, text: 'a & b ~ “ß” \n #?', model: 'org/name:Q4', stop: 'scores', block: 3, head: 2, pos: 0, open: 'pattern',
    panel: 'map', token: 919, pin: [{ site: 'blocks.3.attn.pattern', index: [2, 5, 4] }, { site: 'blocks.3.attn.qk', index: [2, 5, 4] }],
    changes: [
      { action: 'zero', site: 'blocks.23.attn.z', selection: { head: 0 } },
      { action: 'patch', site: 'blocks.2.resid_pre', selection: { pos: 3 }, source: { text: 'a & b ~ (“ß”) = 50%', pos: 1 } },
    ],
    written: 3, ids: [12, 0, 919], window: 64, other: 'a mole & = @ (x)', model2: 'org/other:Q8', t: 12.5, find: 'pieces', query: ' pea&ce',
    switches: ['symlog', 'transpose'], sampling: { temperature: 0.8, top_k: 40, top_p: 0.95, min_p: null, seed: 7 },
  };
  expect(parseAddress(formatAddress(address))).toEqual(address);
  expect(formatAddress(address)).toContain('pin=blocks.3.attn.pattern:2,5,4~blocks.3.attn.qk:2,5,4');
  expect(formatAddress(address)).toContain('changes=zero@blocks.23.attn.z(head=0)~patch(text:');
});

it('the plain page has a plain address', () => {
  expect(formatAddress(PLAIN)).toBe('');
  expect(parseAddress('')).toEqual(PLAIN);
});

it('what makes no sense is left at its default', () => {
  expect(parseAddress('?block=x&pos=-1&head=1e9&pin=../etc:1~:2~a:b&temperature=abc&top_k=&changes=zero~@x&t=-1&written=-1&ids=1,,2&window=0')).toEqual(PLAIN);
});

it('an empty text is a text', () => {
  expect(parseAddress('?text=').text).toBe('');
});
