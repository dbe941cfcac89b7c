/** Panels. Two kinds, found by their names:
 *
 * - beside the picture, in the left column's place: `views/<id>/<Name>Panel.svelte`, shown while the address says
 *   `panel=<id>` (ids: `SIDE_PANELS`). What it needs width for is `views/<id>/<Name>Pane.svelte`, in the stage's place while the
 *   address also says `open=<id>` or `open=<id>.<view>`.
 * - in the stage's place alone: a `<Name>Pane.svelte` without a Panel (the map), while the address says `panel=<id>`.
 *   `<Name>Door.svelte`, a small button below the whole, leads there.
 *
 * All take `{ trace }`; a pane also `view`, what stands behind the dot. Panels and panes are loaded when first opened.
 */
import type { Component } from 'svelte';
import type { Trace } from '../trace/trace';

export interface PanelProps {
  trace: Trace;
}

export interface PaneProps extends PanelProps {
  view?: string;
}

type Load<Props extends PanelProps> = () => Promise<{ default: Component<Props> }>;

function byFolder<Props extends PanelProps>(found: Record<string, Load<Props>>): ReadonlyMap<string, Load<Props>> {
  return new Map(Object.entries(found).map(([path, load]) => [path.split('/')[1] ?? '', load]));
}

export const PANELS = byFolder(import.meta.glob<{ default: Component<PanelProps> }>('./*/*Panel.svelte'));
export const PANES = byFolder(import.meta.glob<{ default: Component<PaneProps> }>('./*/*Pane.svelte'));

const doors = import.meta.glob<{ default: Component<PanelProps> }>('./*/*Door.svelte', { eager: true });
export const DOORS: readonly Component<PanelProps>[] = Object.values(doors).map((each) => each.default);

const WORDS: readonly (readonly [id: string, word: string])[] = [
  ['find', 'Find'], ['change', 'Change'], ['generate', 'Generate'], ['play', 'Play'],
];
/** The four words, as far as there is something behind them. */
export const SHOWN_WORDS = WORDS.filter(([id]) => PANELS.has(id));

export function titleOf(id: string): string {
  return WORDS.find(([each]) => each === id)?.[1] ?? id.charAt(0).toUpperCase() + id.slice(1);
}
