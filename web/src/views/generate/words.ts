/** How the panel says what it shows. Pure. */
import { count, percent } from '../../charts/format';
import type { StepAnswer } from '../../protocol/types';
import type { By, Tree, TreeNode } from './tree';

/** 640 bytes, 12.3 kB, 3.1 MB */
export function bytes(n: number): string {
  const units = ['bytes', 'kB', 'MB', 'GB'];
  let at = 0;
  while (n >= 1000 && at < units.length - 1) [n, at] = [n / 1000, at + 1];
  return `${n.toFixed(at === 0 || n >= 100 ? 0 : 1)} ${units[at]}`;
}

/** "temperature 0.8, top-k 40, seed 7"; what is off is not said. */
export function settings(by: Pick<By, 'temperature' | 'top_k' | 'top_p' | 'min_p' | 'seed'>): string {
  if (by.temperature === 0) return 'always the likeliest';
  const said = [`temperature ${by.temperature}`];
  if (by.top_k !== null) said.push(`top-k ${count(by.top_k)}`);
  if (by.top_p !== null && by.top_p !== 1) said.push(`top-p ${by.top_p}`);
  if (by.min_p) said.push(`min-p ${by.min_p}`);
  return [...said, `seed ${by.seed}`].join(', ');
}

/** How a piece came to be there. */
export function howSaid(node: TreeNode): string {
  if (node.how === 'taken') return 'taken by hand';
  if (node.how === 'read') return 'written before';
  const { step } = node;
  if (!step) return '';
  const guessed = step.drafted ? ', guessed ahead' : '';
  return step.draw ? `drawn at ${step.draw.u.toFixed(4)}${guessed}` : `the likeliest${guessed}`;
}

/** The chance in the draw, where filters or temperature made it another than the model's own. */
export function inTheDraw(step: StepAnswer): string | null {
  const own = step.candidates.find((each) => each.token.id === step.token.id);
  return own && step.draw && percent(own.final) !== percent(own.probability) ? percent(own.final) : null;
}

/** Why the writing ended here; '' where it only paused. */
export function endSaid(step: StepAnswer | null): string {
  if (step?.finish === 'eos') return `The model ended its text here, with ${step.token.display}.`;
  return '';
}

/** a, b, … z, aa: what a branch is called. */
export function branchName(at: number): string {
  const letter = String.fromCharCode(97 + (at % 26));
  return at < 26 ? letter : branchName(Math.floor(at / 26) - 1) + letter;
}

/** What a branch was written under, where its pieces agree; the first behind the fork speaks. */
export function branchBy(tree: Tree, path: readonly number[], from: number): string {
  const own = path.slice(path.indexOf(from) + 1);
  const told = own.map((id) => tree.nodes[id]).find((node) => node?.how === 'drawn' && node.by);
  return told?.by ? `${settings(told.by)}${told.by.changes ? ', changed' : ''}` : '';
}
