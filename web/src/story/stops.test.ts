import { describe, expect, it } from 'vitest';
import type { Trace } from '../trace/trace';
import { PLAIN } from '../state/address';
import { stageById } from '../views/stages';
import { headToFollow, setFor, STOPS, type Part } from './stops';

function traceWith(rotary: boolean): Trace {
  const tokens = ['The', '·robots', '·will'].map((display, id) => ({ id, text: display, display, bytes: '', special: false }));
  const config = { n_layer: 30, n_vocab: 49152, d_model: 576, d_head: 64, d_mlp: 1536 };
  return {
    nPos: 3, tokens, manifest: { text: 'The robots will', n_pos: 3, tokens }, model: { config, traits: { rotary } },
    has: (name: string) => name === 'pos_embed' && !rotary,
    site: async () => ({ data: Float32Array.from([0.5, 0.3, 0.2]) }),
    overviewAt: async () => ({ first: 0, rows: 3, attn: new Float32Array(90).fill(0.2), mlp: new Float32Array(90).fill(0.3) }),
    next: async () => ({ candidates: [{ token: tokens[1], probability: 0.4, final: 0.9 }] }),
    heads: async () => ({ position: 2, heads: [{ block: 7, head: 1, key: 2, weight: 0.9, first: 0 }, { block: 5, head: 3, key: 1, weight: 0.8, first: 0 }] }),
  } as unknown as Trace;
}

const words = (parts: Part[]): number =>
  parts.map((part) => (typeof part === 'string' ? part : ' 1 ')).join('').split(/\s+/).filter(Boolean).length;

describe.each([['turned', true], ['learned', false]])('with %s positions', (_, rotary) => {
  it.each(STOPS.map((stop) => [stop.id, stop] as const))('%s says at most 40 words, asks one question, has one thing to do', async (_, stop) => {
    const parts = await stop.says({ trace: traceWith(rotary), block: 2, head: 1, pos: 2 });
    expect(words(parts)).toBeGreaterThan(8);
    expect(words(parts)).toBeLessThanOrEqual(40);
    expect(stop.question.match(/\?/g)).toHaveLength(1);
    expect(stop.todo).not.toBe('');
  });
});

describe('the words follow what is chosen', () => {
  const says = async (id: string, more: object): Promise<string> => {
    const parts = (await STOPS.find((stop) => stop.id === id)?.says({ trace: traceWith(true), block: 2, head: 1, pos: 2, ...more })) ?? [];
    return parts.map((part) => (typeof part === 'string' ? part : 'piece' in part ? part.piece : 'count' in part ? part.count : part.value)).join('');
  };
  it('the strongest key of the row is named, the first one too where it is not set aside', async () => {
    expect(await says('pattern', {})).toContain('attends most to The with');
    expect(await says('pattern', { aside: true })).toContain('the first piece aside, attends most to ·robots with');
  });
  it('settings of the draw are said, within forty words', async () => {
    for (const temperature of [0, 0.5]) {
      const text = await says('draw', { sampling: { ...PLAIN.sampling, temperature } });
      expect(text).toContain('0.9 after your settings');
      expect(text.split(/\s+/).length).toBeLessThanOrEqual(40);
    }
    expect(await says('draw', {})).not.toContain('settings');
  });
  it('a key still to come is named with its −∞', async () => {
    const trace = { ...traceWith(true), site: async () => ({ data: Float32Array.from([0.5, -Infinity, -Infinity]) }) } as unknown as Trace;
    expect(await says('scores', { trace, pos: 0 })).toContain('·robots is still to come, so its score is -Infinity.');
  });
  it('one is singular', async () => {
    expect(await says('position', { pos: 1 })).toContain('by 1 step of');
  });
});

it('no figure is written into the words by hand', async () => {
  for (const stop of STOPS) {
    const parts = await stop.says({ trace: traceWith(true), block: 2, head: 1, pos: 2 });
    const text = parts.filter((part) => typeof part === 'string').join(' ').replace('√64', '').replace('shares of 1', '');
    expect(text, stop.id).not.toMatch(/\d/);
  }
});

it('there are twelve, and each opens a stage that exists', () => {
  expect(STOPS).toHaveLength(12);
  for (const stop of STOPS) if (stop.open) expect(stageById(stop.open), stop.id).not.toBeNull();
});

describe('a stop only sets the address', () => {
  const scores = STOPS.find((stop) => stop.id === 'scores');
  const position = STOPS.find((stop) => stop.id === 'position');
  it('and finds the head that looks back most strongly, not one written by hand', async () => {
    expect(await setFor(scores!, traceWith(true), PLAIN)).toMatchObject({ stop: 'scores', open: 'scores', block: 5, head: 3 });
  });
  it('and leaves the reader’s own block alone', async () => {
    expect(await setFor(scores!, traceWith(true), { ...PLAIN, block: 9, head: 2 })).not.toHaveProperty('block');
  });
  it('learned positions are shown before the blocks, turned ones inside', async () => {
    expect(await setFor(position!, traceWith(false), PLAIN)).toMatchObject({ open: 'position', block: null });
    expect(await setFor(position!, traceWith(true), PLAIN)).toMatchObject({ open: 'rope', block: 5 });
  });
});

it('the head that is followed looks back strongly, but not with all it has, where there is such a one', async () => {
  const among = (...weights: number[]): Trace => ({ heads: async () => ({ position: 2, heads: weights.map((weight, head) => ({ block: 4, head, key: head === 0 ? 2 : 1, weight, first: 0 })) }) }) as unknown as Trace;
  // head 0 looks at the position itself
  expect(await headToFollow(among(0.5, 0.99, 0.7), 2)).toEqual({ block: 4, head: 2 });
  expect(await headToFollow(among(0.5, 0.99, 0.98), 2)).toEqual({ block: 4, head: 1 });
  expect(await headToFollow(among(), 2)).toEqual({ block: 0, head: 0 });
});
