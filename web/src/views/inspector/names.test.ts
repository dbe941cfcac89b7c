import { describe, expect, it } from 'vitest';
import type { Trace } from '../../trace/trace';
import { placeName } from './names';

const tokens = ['The', '·robots', '·bring'].map((display, id) => ({ id, display }));
const trace = {
  tokens, pieces: new Map(tokens.map((token) => [token.id, token])),
  model: {
    sites: [
      { template: 'blocks.{i}.attn.q', axes: ['pos', 'head', 'd_head'] },
      { template: 'blocks.{i}.attn.pattern', axes: ['head', 'q_pos', 'k_pos'] },
      { template: 'blocks.{i}.ln1.scale', axes: ['pos', 'one'] },
      { template: 'blocks.{i}.other', axes: ['pos', 'd_model'] },
    ],
    parameters: [
      { template: 'blocks.{i}.attn.W_Q', axes: ['head', 'd_model', 'd_head'] },
      { template: 'W_E', axes: ['vocab', 'd_model'] },
      { template: 'blocks.{i}.ln1.w', axes: ['d_model'] },
    ],
  },
} as unknown as Trace;

describe('a place is called by plain words', () => {
  it.each([
    ['blocks.17.attn.q', [2, 5, 3], 'query of “·bring” at 2, block 17, head 5, dimension 3'],
    ['blocks.17.attn.pattern', [5, 2, 0], 'share of attention of “·bring” to “The”, block 17, head 5'],
    ['blocks.0.ln1.scale', [1, 0], 'size of the vector before attention of “·robots” at 1, block 0'],
    ['blocks.0.other', [1, 4], 'blocks.0.other of “·robots” at 1, block 0, dimension 4'],
    ['blocks.17.attn.W_Q', [5, 60, 15], 'weight W_Q, block 17, head 5, row 60 (stream) → column 15 (query)'],
    ['W_E', [1, 7], 'weight W_E, row 1 (token “·robots”) → column 7 (stream)'],
    ['blocks.2.ln1.w', [7], 'weight ln1.w, block 2, dimension 7'],
  ])('%s', (site, index, name) => {
    expect(placeName(trace, { site, index })).toBe(name);
  });
});
