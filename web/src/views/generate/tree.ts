/** The texts that were written from one prompt, as a tree: every piece is a node, a branch is a way from the root to a leaf.
 *
 * Pure: each function gives a new tree. Nothing that was written is ever lost by going back: what stood behind stays, and taking
 * another candidate there makes a branch.
 */
import type { CandidateAnswer, StepAnswer, TokenAnswer } from '../../protocol/types';

/** How a piece came to be there. `read`: it stood at the end of the text when the page was opened. */
export type How = 'prompt' | 'drawn' | 'taken' | 'read';

/** What a piece was written under. */
export interface By {
  temperature: number;
  top_k: number | null;
  top_p: number | null;
  min_p: number | null;
  seed: number;
  lookup: boolean;
  window: number | null;
  /** changes that acted, as the address writes them; '': none */
  changes: string;
}

export interface TreeNode {
  readonly parent: number;
  readonly children: readonly number[];
  /** null at the root alone */
  readonly token: TokenAnswer | null;
  /** pieces written up to and with this one */
  readonly depth: number;
  /** pieces of the whole text that the model no longer sees behind this one */
  readonly dropped: number;
  readonly how: How;
  /** the chance that the model gave it, over the full vocabulary; null where nobody has said */
  readonly probability: number | null;
  /** what the engine said of it; null when it was taken or read */
  readonly step: StepAnswer | null;
  readonly by: By | null;
}

export interface Tree {
  readonly model: string;
  /** the prompt's text and pieces */
  readonly text: string;
  readonly prompt: readonly TokenAnswer[];
  /** the place in the output of the first piece behind the prompt */
  readonly base: number;
  readonly nodes: readonly TreeNode[];
  /** the text so far ends here */
  readonly at: number;
  /** the leaf up to which the strip goes: `at`, or one behind it */
  readonly end: number;
}

const ROOT: TreeNode = {
  parent: -1, children: [], token: null, depth: 0, dropped: 0, how: 'prompt', probability: null, step: null, by: null,
};

/** A tree whose text ends with `written` pieces that were written before; the prompt is what stands before them. */
export function plant(model: string, text: string, tokens: readonly TokenAnswer[], written = 0): Tree {
  const behind = Math.min(Math.max(0, written), Math.max(0, tokens.length - 1));
  const split = tokens.length - behind;
  const last = tokens.slice(split);
  const end = textOf(last);
  // where the pieces do not say how the text ends, all of it is the prompt
  const fits = text.endsWith(end);
  const own = fits ? { text: text.slice(0, text.length - end.length), prompt: tokens.slice(0, split), base: written - behind } : { text, prompt: tokens, base: written };
  let tree: Tree = { model, ...own, nodes: [ROOT], at: 0, end: 0 };
  if (fits) for (const token of last) tree = add(tree, { token, how: 'read', probability: null, step: null, by: null, dropped: 0 });
  return tree;
}

function nodeOf(tree: Tree, id: number): TreeNode {
  const node = tree.nodes[id];
  if (!node) throw new RangeError(`no piece ${id}`);
  return node;
}

type Piece = Pick<TreeNode, 'token' | 'how' | 'probability' | 'step' | 'by' | 'dropped'>;

/** One piece more behind the text so far. The same piece there again is the same branch, told anew. */
function add(tree: Tree, piece: Piece): Tree {
  const { at } = tree;
  const parent = nodeOf(tree, at);
  const known = childWith(tree, at, piece.token?.id ?? -1);
  if (known !== null) {
    const before = nodeOf(tree, known);
    const told: TreeNode = piece.step || !before.step ? { ...before, ...piece, probability: piece.probability ?? before.probability } : before;
    const nodes = tree.nodes.map((node, id) => (id === known ? told : node));
    return goTo({ ...tree, nodes }, known);
  }
  const id = tree.nodes.length;
  const nodes = tree.nodes.map((node, each) => (each === at ? { ...node, children: [...node.children, id] } : node));
  nodes.push({ ...piece, parent: at, children: [], depth: parent.depth + 1 });
  return { ...tree, nodes, at: id, end: id };
}

/** The engine's next piece. What left the window before it, `left` before the engine was asked, is gone for all that follow. */
export function write(tree: Tree, step: StepAnswer, by: By, left = 0): Tree {
  const own = step.candidates.find((each) => each.token.id === step.token.id);
  const dropped = nodeOf(tree, tree.at).dropped + left + (step.dropped?.tokens ?? 0);
  return add(tree, { token: step.token, how: 'drawn', probability: own?.probability ?? null, step, by, dropped });
}

/** A candidate that the reader took instead of what was, or would be, drawn. */
export function take(tree: Tree, candidate: CandidateAnswer, by: By): Tree {
  const { dropped } = nodeOf(tree, tree.at);
  return add(tree, { token: candidate.token, how: 'taken', probability: candidate.probability, step: null, by, dropped });
}

/** The text so far ends at `id` now. What follows there stays in sight: the branch that was, or else the newest. */
export function goTo(tree: Tree, id: number): Tree {
  nodeOf(tree, id);
  return { ...tree, at: id, end: pathTo(tree, tree.end).includes(id) ? tree.end : newestLeaf(tree, id) };
}

/** Another branch in sight; the text so far ends at its end. */
export function follow(tree: Tree, leaf: number): Tree {
  return { ...tree, at: leaf, end: leaf };
}

function newestLeaf(tree: Tree, id: number): number {
  let at = id;
  for (let next = nodeOf(tree, at).children.at(-1); next !== undefined; next = nodeOf(tree, at).children.at(-1)) at = next;
  return at;
}

export function childWith(tree: Tree, id: number, token: number): number | null {
  return nodeOf(tree, id).children.find((child) => nodeOf(tree, child).token?.id === token) ?? null;
}

/** Nodes from the root, which is not among them, to `id`. */
export function pathTo(tree: Tree, id: number): number[] {
  const path: number[] = [];
  for (let at = id; at > 0; at = nodeOf(tree, at).parent) path.push(at);
  return path.reverse();
}

/** What stands in the strip: the whole branch in sight. */
export function strip(tree: Tree): { id: number; node: TreeNode; ahead: boolean }[] {
  const upTo = nodeOf(tree, tree.at).depth;
  return pathTo(tree, tree.end).map((id) => {
    const node = nodeOf(tree, id);
    return { id, node, ahead: node.depth > upTo };
  });
}

/** Every branch's last piece, in the order in which they were begun. */
export function leaves(tree: Tree): number[] {
  const found: number[] = [];
  const visit = (id: number): void => {
    const { children } = nodeOf(tree, id);
    if (!children.length && id !== 0) found.push(id);
    children.forEach(visit);
  };
  visit(0);
  return found;
}

/** The place in the output of the piece that comes next behind `id`: the draw of that piece depends on it and the seed. */
export function indexAfter(tree: Tree, id: number): number {
  return tree.base + nodeOf(tree, id).depth;
}

/** All pieces of the text that ends at `id`. */
export function tokensTo(tree: Tree, id: number): TokenAnswer[] {
  return [...tree.prompt, ...pathTo(tree, id).map((each) => nodeOf(tree, each).token).filter((token) => token !== null)];
}

/** So many pieces the model sees no more, once it goes on behind `id`: where the text is longer than the window, its oldest
 * quarter leaves (as in the engine, which takes no text that is longer). */
export function droppedFor(tree: Tree, id: number, window: number): number {
  const node = nodeOf(tree, id);
  const length = tree.prompt.length + node.depth;
  let gone = node.dropped;
  while (length - gone > window) gone += Math.max(1, Math.floor(window / 4));
  return gone;
}

/** Those that the model still sees. */
export function windowTo(tree: Tree, id: number, window = Infinity): TokenAnswer[] {
  return tokensTo(tree, id).slice(droppedFor(tree, id, window));
}

/** The text that the model still sees, up to and with `id`: the prompt as it was typed, then the pieces' own bytes. */
export function textTo(tree: Tree, id: number, window = Infinity): string {
  const dropped = droppedFor(tree, id, window);
  const written = pathTo(tree, id).map((each) => nodeOf(tree, each).token).filter((token) => token !== null);
  if (dropped === 0) return tree.text + textOf(written);
  return textOf(windowTo(tree, id, window));
}

/** Whether these are the ids of the text up to `id`: as it stands, or as far as the window holds it. */
export function isAt(tree: Tree, id: number, ids: readonly number[], window = Infinity): boolean {
  return [Infinity, window].some((each) => {
    const seen = windowTo(tree, id, each);
    return seen.length === ids.length && seen.every((token, i) => token.id === ids[i]);
  });
}

/** The node whose text has just these ids; null: there is none. The one in use is looked at first. */
export function findIds(tree: Tree, ids: readonly number[], window = Infinity): number | null {
  if (isAt(tree, tree.at, ids, window)) return tree.at;
  const found = tree.nodes.findIndex((_, id) => isAt(tree, id, ids, window));
  return found < 0 ? null : found;
}

/** The last piece that two branches share; 0: the prompt alone. */
export function fork(tree: Tree, a: number, b: number): number {
  const other = new Set(pathTo(tree, b));
  return pathTo(tree, a).filter((id) => other.has(id)).at(-1) ?? 0;
}

/** Chances that a trace of the text so far tells, for pieces of which nobody has said: `losses[i]` is −ln p of its piece i. */
export function tell(tree: Tree, losses: readonly (number | null)[]): Tree {
  const first = tree.prompt.length + nodeOf(tree, tree.at).depth - losses.length;
  const told = new Map<number, number>();
  for (const id of pathTo(tree, tree.at)) {
    const loss = losses[tree.prompt.length + nodeOf(tree, id).depth - 1 - first];
    if (nodeOf(tree, id).probability === null && loss !== null && loss !== undefined) told.set(id, Math.exp(-loss));
  }
  if (!told.size) return tree;
  return { ...tree, nodes: tree.nodes.map((node, id) => ({ ...node, probability: told.get(id) ?? node.probability })) };
}

/** Whether a piece of the text so far has a chance that nobody has said. */
export function untold(tree: Tree): boolean {
  return pathTo(tree, tree.at).some((id) => nodeOf(tree, id).probability === null);
}

/** The mean of −ln p over the pieces of a branch whose chance is known, in nats. */
export function surprise(tree: Tree, leaf: number): { nats: number; of: number } {
  const known = pathTo(tree, leaf).map((id) => nodeOf(tree, id).probability).filter((each) => each !== null);
  const sum = known.reduce((total, each) => total - Math.log(each), 0);
  return { nats: known.length ? sum / known.length : NaN, of: known.length };
}

/** Text of pieces, by their bytes: a character may be spread over several. */
export function textOf(tokens: readonly TokenAnswer[]): string {
  const bytes = tokens.flatMap((token) => (token.bytes.match(/../g) ?? []).map((pair) => parseInt(pair, 16)));
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes));
}

/** Whether the bytes of these pieces end in the middle of a character. */
export function cutShort(tokens: readonly TokenAnswer[]): boolean {
  return textOf(tokens.slice(-4)).endsWith('�');
}
