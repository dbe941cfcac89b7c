import { describe, expect, it } from 'vitest';
import type { CandidateAnswer, StepAnswer, TokenAnswer } from '../../protocol/types';
import { childWith, cutShort, findIds, follow, fork, goTo, indexAfter, leaves, pathTo, plant, strip, surprise, take, tell, textOf, textTo, tokensTo, untold, windowTo, write, type By, type Tree } from './tree';

const hex = (text: string): string => Array.from(new TextEncoder().encode(text), (byte) => byte.toString(16).padStart(2, '0')).join('');
const piece = (id: number, text: string, bytes = hex(text)): TokenAnswer => ({ id, text, display: text.replaceAll(' ', '·'), bytes, special: false });
const candidate = (token: TokenAnswer, probability: number): CandidateAnswer => ({
  token, rank: 1, logit: 0, probability, scaled: 0, kept_top_k: true, kept_top_p: true, kept_min_p: true, final: probability,
});
const step = (token: TokenAnswer, probability: number, more: Partial<StepAnswer> = {}): StepAnswer => ({
  index: 0, position: 0, token, text: token.text, candidates: [candidate(piece(0, '?'), 0.1), candidate(token, probability)],
  kept: { top_k: 1, top_p: 1, min_p: 1 }, draw: null, drafted: false, draft: null, dropped: null, finish: null,
  cache: { held: 0, computed: 1, bytes: 0, kept: true }, seconds: 0, ...more,
});
const BY: By = { temperature: 1, top_k: null, top_p: null, min_p: null, seed: 0, lookup: false, window: null, changes: '' };
const [A, B, C, D, E] = [piece(1, 'The'), piece(2, ' cat'), piece(3, ' sat'), piece(4, ' ran'), piece(5, ' off')] as const;

const text = (tree: Tree): string => textTo(tree, tree.at);
const seen = (tree: Tree): string => strip(tree).map(({ node, ahead }) => (ahead ? `(${node.token?.text})` : node.token?.text)).join('');

function written(): Tree {
  let tree = plant('m', 'The', [A]);
  tree = write(tree, step(B, 0.5), BY);
  return write(tree, step(C, 0.25), BY);
}

describe('a tree of what was written', () => {
  it('grows at the text so far, and loses nothing by going back', () => {
    let tree = written();
    expect([text(tree), seen(tree), tokensTo(tree, tree.at).map((token) => token.id)]).toEqual(['The cat sat', ' cat sat', [1, 2, 3]]);
    tree = goTo(tree, 1);
    expect([text(tree), seen(tree)]).toEqual(['The cat', ' cat( sat)']);
    tree = goTo(tree, 0);
    expect([text(tree), seen(tree)]).toEqual(['The', '( cat)( sat)']);
    expect([text(goTo(tree, 2)), leaves(tree)]).toEqual(['The cat sat', [2]]);
  });

  it('another candidate makes a branch; the same one again does not', () => {
    let tree = take(goTo(written(), 1), candidate(D, 0.125), BY);
    expect([text(tree), seen(tree), leaves(tree)]).toEqual(['The cat ran', ' cat ran', [2, 3]]);
    expect(tree.nodes[3]).toMatchObject({ how: 'taken', probability: 0.125, step: null, depth: 2 });
    tree = write(tree, step(E, 0.5), BY);
    expect([leaves(tree), fork(tree, 2, 4), fork(tree, 4, 3)]).toEqual([[2, 4], 1, 3]);
    expect(seen(goTo(tree, 1))).toBe(' cat( ran)( off)');
    expect(seen(goTo(follow(tree, 2), 1))).toBe(' cat( sat)');
    const again = write(goTo(tree, 1), step(D, 0.2, { seconds: 9 }), { ...BY, seed: 7 });
    expect([again.nodes.length, again.at, again.end]).toEqual([tree.nodes.length, 3, 4]);
    expect(again.nodes[3]).toMatchObject({ how: 'drawn', probability: 0.2, step: { seconds: 9 }, by: { seed: 7 } });
    // what the engine said is not forgotten because somebody takes it by hand
    expect(take(goTo(again, 1), candidate(D, 0.2), BY).nodes[3]).toMatchObject({ how: 'drawn', step: { seconds: 9 } });
    expect([childWith(tree, 1, 4), childWith(tree, 1, 5)]).toEqual([3, null]);
  });

  it('knows the text that it belongs to by its ids', () => {
    const tree = take(goTo(written(), 1), candidate(D, 0.125), BY);
    expect([findIds(tree, [1, 2, 3]), findIds(tree, [1]), findIds(tree, [1, 2, 4]), findIds(tree, [1, 3]), findIds(tree, [])]).toEqual([2, 0, 3, null, null]);
  });

  it('is built again from a text whose last pieces were written', () => {
    const tree = plant('m', 'The cat sat', [A, B, C], 2);
    expect([tree.text, text(tree), seen(tree), tree.nodes[2]?.how]).toEqual(['The', 'The cat sat', ' cat sat', 'read']);
    expect([indexAfter(tree, 0), indexAfter(tree, 2)]).toEqual([0, 2]);
    // a trace of the text, or of its end, tells the chances; those that are known stay
    const told = tell(tree, [null, Math.log(4), Math.log(2)]);
    expect([untold(tree), untold(told), told.nodes.map((node) => node.probability)]).toEqual([true, false, [null, 0.25, 0.5]]);
    expect(tell(tree, [null, Math.log(2)]).nodes.map((node) => node.probability)).toEqual([null, null, 0.5]);
    expect(tell(told, [null, 1, 1])).toBe(told);
    // the beginning left the window before the address was sent: the draws go on counting all the same
    const later = plant('m', 'The', [A], 5);
    expect([later.prompt, indexAfter(later, later.at)]).toEqual([[A], 5]);
    // pieces whose text is not the text's end say nothing of where it was split
    expect(plant('m', 'The ‹x›', [A, B, C], 1).prompt).toHaveLength(3);
  });

  it('what left the window stays in the strip, and is gone from what the model sees', () => {
    let tree = write(written(), step(D, 0.5, { dropped: { tokens: 2, prefilled: 1 } }), BY);
    expect([text(tree), windowTo(tree, tree.at).map((token) => token.id), seen(tree)]).toEqual([' sat ran', [3, 4], ' cat sat ran']);
    tree = write(tree, step(E, 0.5), BY);
    expect([text(tree), findIds(tree, [3, 4, 5]), findIds(tree, [1, 2, 3, 4, 5]), tree.nodes[tree.at]?.dropped]).toEqual([' sat ran off', 4, null, 2]);
    expect(text(goTo(tree, 2))).toBe('The cat sat');
  });

  it('a text that is longer than the window loses its oldest quarter, as in a run', () => {
    const tree = take(written(), candidate(D, 0.5), BY); // four pieces
    expect([4, 3, 2, 1].map((window) => windowTo(tree, tree.at, window).map((token) => token.id))).toEqual([[1, 2, 3, 4], [2, 3, 4], [3, 4], [4]]);
    expect([textTo(tree, tree.at, 4), textTo(tree, tree.at, 3)]).toEqual(['The cat sat ran', ' cat sat ran']);
    const long = plant('m', '', [1, 2, 3, 4, 5, 6, 7, 8, 9].map((id) => piece(id, 'x')));
    expect(windowTo(long, 0, 8)).toHaveLength(7);
    // the page may stand at the whole text, or at what the window holds of it
    expect([findIds(tree, [1, 2, 3, 4], 3), findIds(tree, [2, 3, 4], 3), findIds(tree, [2, 3, 4])]).toEqual([3, 3, null]);
    const on = write(tree, step(E, 0.5), BY, 1);
    expect([on.nodes[on.at]?.dropped, textTo(on, on.at)]).toEqual([1, ' cat sat ran off']);
  });

  it('a character may be spread over pieces', () => {
    const [first, second] = [piece(8, '�', 'e282'), piece(9, '�', 'ac')];
    let tree = write(plant('m', '\ufeffcosts ', [piece(7, '\ufeffcosts ')]), step(first, 0.5), BY);
    expect(cutShort(tokensTo(tree, tree.at))).toBe(true);
    tree = write(tree, step(second, 0.5), BY);
    expect([text(tree), cutShort(tokensTo(tree, tree.at))]).toEqual(['\ufeffcosts €', false]);
    expect(textOf(tokensTo(tree, tree.at))).toBe('\ufeffcosts €');
  });

  it('how surprising a branch was is the mean over the pieces whose chance is known', () => {
    const tree = written();
    expect(surprise(tree, 2)).toEqual({ nats: (Math.log(2) + Math.log(4)) / 2, of: 2 });
    expect(surprise(plant('m', 'The cat', [A, B], 1), 1).of).toBe(0);
    expect(pathTo(tree, 0)).toEqual([]);
  });
});
