/** The stages of the computation, in order, and what can unfold each.
 *
 * A stage's component is `stages/<id>/<Anything>Stage.svelte`: a file that is there is found, so adding one touches
 * nothing here. Strips name sites; a model that does not declare a site does not get the strip, and a stage without
 * strips of its own in this model is left out.
 */
import type { Component } from 'svelte';
import type { Role } from '../charts/palette.svelte';
import type { ModelAnswer } from '../protocol/types';
import type { Pin } from '../state/address';
import type { Pointed } from '../state/page.svelte';
import type { Trace } from '../trace/trace';

export interface StageProps {
  trace: Trace;
  stage: Stage;
  /** the opened block; 0 for stages before and after the blocks, which have none */
  block: number;
  head: number;
  /** the selected position, 0 to n_pos − 1 */
  pos: number;
  pin: Pin | null;
  hover: Pointed | null;
}

/** A column of the opened block's flow: one row for each token. */
export interface Strip {
  /** without the block: "attn.q" */
  site: string;
  letter: string;
  role: Role;
  kind: 'signed' | 'share';
  /** share of the width */
  weight: number;
}

export interface Stage {
  id: string;
  title: string;
  place: 'before' | 'block' | 'after';
  strips: Strip[];
  /** shares the component of another stage, which tells them apart by `stage.strips` */
  drawnBy?: string;
}

function strip(site: string, letter: string, role: Role, weight: number, kind: Strip['kind'] = 'signed'): Strip {
  return { site, letter, role, kind, weight };
}

export const STAGES: readonly Stage[] = [
  { id: 'pieces', title: 'Pieces', place: 'before', strips: [] },
  { id: 'embedding', title: 'Embedding', place: 'before', strips: [strip('embed', 'x', 'residual', 1)] },
  { id: 'position', title: 'Position', place: 'before', strips: [strip('pos_embed', 'p', 'residual', 1)] },
  { id: 'norm', title: 'Norm', place: 'block', strips: [strip('ln1.out', 'n', 'residual', 3)] },
  {
    id: 'qkv', title: 'Q, K, V', place: 'block',
    strips: [strip('attn.q', 'Q', 'q', 3), strip('attn.k', 'K', 'k', 3), strip('attn.v', 'V', 'v', 3)],
  },
  {
    id: 'rope', title: 'RoPE', place: 'block',
    strips: [strip('attn.rot_q', 'Q', 'q', 3), strip('attn.rot_k', 'K', 'k', 3)],
  },
  { id: 'scores', title: 'Scores', place: 'block', strips: [strip('attn.attn_scores', 'S', 'attention', 5)] },
  { id: 'pattern', title: 'Pattern', place: 'block', strips: [strip('attn.pattern', 'A', 'attention', 5, 'share')] },
  {
    id: 'mix', title: 'Mix, add', place: 'block',
    strips: [strip('attn.z', 'z', 'v', 3), strip('attn_out', '+', 'attention', 4)],
  },
  { id: 'norm2', title: 'Norm', place: 'block', strips: [strip('ln2.out', 'n', 'residual', 3)], drawnBy: 'norm' },
  {
    id: 'mlp', title: 'MLP', place: 'block',
    strips: [strip('mlp.post', 'M', 'mlp', 5), strip('mlp_out', '+', 'mlp', 4)],
  },
  { id: 'norm_final', title: 'Final norm', place: 'after', strips: [strip('ln_final.out', 'n', 'residual', 1)], drawnBy: 'norm' },
  { id: 'logits', title: 'Logits', place: 'after', strips: [strip('logits', 'L', 'residual', 1)] },
  { id: 'draw', title: 'Chances and the draw', place: 'after', strips: [] },
  { id: 'did', title: 'What each block did', place: 'after', strips: [] },
];

const found = import.meta.glob<{ default: Component<StageProps> }>('./stages/*/*Stage.svelte');
const components = new Map(Object.entries(found).map(([path, load]) => [path.split('/')[2] ?? '', load]));

export function stageById(id: string | null): Stage | null {
  return STAGES.find((stage) => stage.id === id) ?? null;
}

/** How to load what unfolds a stage; null while nobody has drawn it. */
export function unfolds(stage: Stage): (() => Promise<{ default: Component<StageProps> }>) | null {
  return components.get(stage.drawnBy ?? stage.id) ?? null;
}

/** The stages that this model has, each with the strips whose sites it declares. */
export function stagesOf(model: ModelAnswer, place: Stage['place']): Stage[] {
  const declared = new Set(model.sites.map((row) => row.template));
  const prefix = place === 'block' ? 'blocks.{i}.' : '';
  return STAGES.filter((stage) => stage.place === place)
    .map((stage) => ({ ...stage, strips: stage.strips.filter((each) => declared.has(prefix + each.site)) }))
    .filter((stage, i, all) => stage.strips.length > 0 || STAGES.find((each) => each.id === all[i]?.id)?.strips.length === 0);
}
