import { expect, it } from 'vitest';
import type { CandidateAnswer } from '../../protocol/types';
import { filled, layout } from './branches';
import { goTo, plant, take, type By } from './tree';

const BY: By = { temperature: 1, top_k: null, top_p: null, min_p: null, seed: 0, lookup: false, window: null, changes: '' };
const piece = (id: number): CandidateAnswer => ({
  token: { id, text: `${id}`, display: `${id}`, bytes: '', special: false },
  rank: 1, logit: 0, probability: 0.5, scaled: 0, kept_top_k: true, kept_top_p: true, kept_min_p: true, final: 0.5,
});

it('a shared piece is as wide as the branches that share it', () => {
  // 1 -> (2 -> 3 | 4 | 2 -> 5), 6
  let tree = plant('m', '', [piece(0).token]);
  for (const id of [1, 2, 3]) tree = take(tree, piece(id), BY);
  tree = take(goTo(tree, 1), piece(4), BY);
  tree = take(goTo(tree, 2), piece(5), BY);
  tree = take(goTo(tree, 0), piece(6), BY);
  const { leaves, rows } = layout(tree);
  expect(leaves.map((id) => tree.nodes[id]?.token?.id)).toEqual([3, 5, 4, 6]);
  expect(rows.map((row) => row.map(({ id, from, span }) => [tree.nodes[id]?.token?.id, from, span]))).toEqual([
    [[1, 0, 3], [6, 3, 1]],
    [[2, 0, 2], [4, 2, 1]],
    [[3, 0, 1], [5, 1, 1]],
  ]);
  expect(filled(rows[2]!, 4).map(({ id, from, span }) => [id === null, from, span])).toEqual([[false, 0, 1], [false, 1, 1], [true, 2, 2]]);
  expect(rows.every((row) => filled(row, 4).reduce((sum, cell) => sum + cell.span, 0) === 4)).toBe(true);
});
